// @ts-check
/** Open, choose and close cameras. */

import { make } from "./elements.js";
import { t } from "./language.js";
import { loadSetting, saveSetting } from "./settings.js";

/** The camera cannot be used; `key` is that of the text that gives the reason. */
export class CameraError extends Error {
  constructor(key) {
    super(key);
    this.key = key;
  }
}

const REASONS = {
  NotAllowedError: "cameraRefused",
  SecurityError: "cameraRefused",
  NotFoundError: "cameraMissing",
  OverconstrainedError: "cameraMissing",
};

/** Whether this page may use a camera, which browsers allow over HTTPS and on localhost. */
export function canUseCamera() {
  return Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia);
}

/**
 * Open the camera that was chosen last on this device, or else the rear camera.
 *
 * @returns {Promise<MediaStream>}
 * @throws {CameraError}
 */
export async function openCamera() {
  if (!canUseCamera()) throw new CameraError("cameraInsecure");
  const chosen = loadSetting("camera");
  try {
    return await open(chosen ? { deviceId: { exact: chosen } } : { facingMode: "environment" });
  } catch (error) {
    if (chosen && REASONS[error.name] === "cameraMissing") {
      saveSetting("camera", null);
      return openCamera();
    }
    throw new CameraError(REASONS[error.name] ?? "cameraBusy");
  }
}

function open(which) {
  return navigator.mediaDevices.getUserMedia({
    video: { ...which, width: { ideal: 1280 }, height: { ideal: 960 } },
  });
}

/**
 * Play a camera's stream.
 *
 * @param {MediaStream} stream
 * @param {HTMLVideoElement} video
 */
export async function showCamera(stream, video) {
  video.srcObject = stream;
  await video.play();
}

/** @param {MediaStream|null} stream */
export function closeCamera(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

/** A select element for choosing one of several cameras. */
export class CameraChoice {
  #field;
  #select;

  /**
   * @param {HTMLElement} field shown if there are several cameras
   * @param {HTMLSelectElement} select
   * @param {() => void} onChoice called to open the chosen camera
   */
  constructor(field, select, onChoice) {
    this.#field = field;
    this.#select = select;
    select.addEventListener("change", () => {
      saveSetting("camera", select.value);
      onChoice();
    });
  }

  /**
   * List the cameras. Their names are known once one is open.
   *
   * @param {MediaStream} stream of the open camera
   */
  async show(stream) {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const cameras = devices.filter(({ kind }) => kind === "videoinput");
    const open = stream.getVideoTracks()[0].getSettings().deviceId;
    this.#field.hidden = cameras.length < 2;
    this.#select.replaceChildren(
      ...cameras.map(({ deviceId, label }, index) =>
        make("option", {
          value: deviceId,
          textContent: label || t("cameraNumber", { count: index + 1 }),
          selected: deviceId === open,
        }),
      ),
    );
  }
}
