// @ts-check
/**
 * Service worker: lets the page load and classify photos while the service is unreachable.
 *
 * The service replaces the version with a hash of the page's files and the model. With any change
 * browsers therefore install a new worker, which fills a cache of its own before it takes over, so
 * that files of different versions never mix. Predictions and photos are not cached.
 */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const VERSION = "__VERSION__";
// The folder that the page is served from, which a proxy may choose; each has a cache of its own.
const ROOT = new URL("./", worker.location.href).pathname;
const CACHE = `platecheck-${VERSION} ${ROOT}`;
// Milliseconds without a response after which the cached copy is used.
const TIMEOUT = 5000;

const SHELL = [
  "./",
  "page/base.css",
  "page/style.css",
  "page/sprite.svg",
  "page/manifest.webmanifest",
  "page/icons/icon.svg",
  "page/icons/icon-192.png",
  "page/advice-view.js",
  "page/announce.js",
  "page/batch.js",
  "page/camera.js",
  "page/capture-dialog.js",
  "page/crops.js",
  "page/csv.js",
  "page/detect.js",
  "page/dialogs.js",
  "page/dish-boxes.js",
  "page/elements.js",
  "page/error-messages.js",
  "page/feedback-view.js",
  "page/heif.js",
  "page/inference-client.js",
  "page/inspection-view.js",
  "page/inspection.js",
  "page/labels.js",
  "page/language.js",
  "page/liveness.js",
  "page/local-model.js",
  "page/local-worker.js",
  "page/main.js",
  "page/offline.js",
  "page/open-photo.js",
  "page/overlay.js",
  "page/photo-input.js",
  "page/photos-view.js",
  "page/prepare.js",
  "page/quality.js",
  "page/records.js",
  "page/resize.js",
  "page/service.js",
  "page/session-view.js",
  "page/session.js",
  "page/settings-view.js",
  "page/settings.js",
  "page/shell.js",
  "page/shift-view.js",
  "page/sound.js",
  "page/texts.js",
  "page/totals.js",
  "page/tracker.js",
  "page/watch-log.js",
  "page/watch-view.js",
  "page/watch.js",
];
// Large, so cached only together with the model.
const RUNTIME = ["page/vendor/ort.wasm.bundle.min.mjs", "page/vendor/ort-wasm-simd-threaded.wasm"];
const MODELS = ["v1/model", "v1/model/file", "v1/model/dishes"]; // description, classifier, detector

// Pages of an earlier version send these, too: keep the names.
const COMMANDS = {
  "take over": () => worker.skipWaiting(),
  keep: saveModel,
  "is kept": isModelSaved,
  forget: deleteModel,
};

worker.addEventListener("install", (event) => {
  event.waitUntil(add(SHELL));
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(deleteOldCaches().then(() => worker.clients.claim()));
});

worker.addEventListener("message", (event) => {
  const { command, headers } = event.data;
  event.waitUntil(
    COMMANDS[command](headers).then(
      (result) => event.ports[0]?.postMessage({ result }),
      (error) => event.ports[0]?.postMessage({ error: error.message }),
    ),
  );
});

worker.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== worker.location.origin) return;
  const path = pathname.startsWith(ROOT) ? pathname.slice(ROOT.length) : null;
  if (path === "" || path?.startsWith("page/")) {
    event.respondWith(fromCache(pathname, event.request));
  } else if (MODELS.includes(path)) {
    event.respondWith(fromService(pathname, event.request));
  }
});

/** Cache the service's current files. */
async function add(paths, headers = {}) {
  const cache = await caches.open(CACHE);
  await cache.addAll(paths.map((path) => new Request(path, { cache: "no-cache", headers })));
}

/** Delete the caches of earlier versions. */
async function deleteOldCaches() {
  const names = await caches.keys();
  const own = names.filter((name) => name.endsWith(` ${ROOT}`) || !name.includes(" "));
  await Promise.all(own.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}

/** Return a file of the page, always of this version. */
async function fromCache(path, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(path, { ignoreVary: true })) ?? fetch(request);
}

/** Return the service's response, or the cached one if it is unreachable. */
async function fromService(path, request) {
  try {
    return await fetchInTime(request);
  } catch (error) {
    const cache = await caches.open(CACHE);
    const cached = await cache.match(path, { ignoreVary: true });
    if (!cached) throw error;
    const headers = new Headers(cached.headers);
    headers.set("X-Platecheck-Kept", "yes");
    return new Response(cached.body, { status: cached.status, headers });
  }
}

/** Fetch; fail if the response does not start in time. Its body may take longer. */
async function fetchInTime(request) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), TIMEOUT);
  try {
    const response = await fetch(request, { signal: controller.signal });
    if (response.status === 502 || response.status === 504) throw new Error("service unreachable");
    return response;
  } finally {
    clearTimeout(timer);
  }
}

/** Cache the models and their runtime for classifying photos on this device. */
async function saveModel(headers) {
  const cache = await caches.open(CACHE);
  const missing = [];
  for (const path of RUNTIME) if (!(await cache.match(path))) missing.push(path);
  await add(missing);
  await add(MODELS, headers); // together, so that they match
  return true;
}

/** Whether the models and their runtime are cached. */
async function isModelSaved() {
  const cache = await caches.open(CACHE);
  const cached = await Promise.all([...RUNTIME, ...MODELS].map((path) => cache.match(path)));
  return cached.every(Boolean);
}

/** Delete the models, which must not stay without an API key. */
async function deleteModel() {
  const cache = await caches.open(CACHE);
  await Promise.all(MODELS.map((path) => cache.delete(path)));
}
