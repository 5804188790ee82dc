/** The camera: opening it, choosing among several, taking a frame. */

import { remembered, remember } from "./settings.js";

/** The camera cannot be used; `key` is that of the text that says why. */
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

/** Whether this page may use a camera at all: browsers allow it over HTTPS and on localhost. */
export function canUseCamera() {
  return Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia);
}

/**
 * Open the camera that was chosen last on this device; where there is none, or it is gone, the one
 * that looks away from the person.
 *
 * @returns {Promise<MediaStream>}
 * @throws {CameraError}
 */
export async function openCamera() {
  if (!canUseCamera()) throw new CameraError("cameraInsecure");
  const chosen = remembered("camera");
  try {
    return await open(chosen ? { deviceId: { exact: chosen } } : { facingMode: "environment" });
  } catch (error) {
    if (chosen && REASONS[error.name] === "cameraMissing") {
      remember("camera", null);
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

/** Show what a camera sees. */
export async function showCamera(stream, video) {
  video.srcObject = stream;
  await video.play();
}

/** Let go of a camera; null is none. */
export function closeCamera(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

/** All cameras; their names are known once one has been opened. */
export async function listCameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === "videoinput");
}

/** The id of the camera that a stream comes from. */
export function cameraOf(stream) {
  return stream.getVideoTracks()[0].getSettings().deviceId;
}

/** Use this camera from now on. */
export function chooseCamera(deviceId) {
  remember("camera", deviceId);
}
