"""A camera that shows what a test puts in front of it."""

from playwright.sync_api import JSHandle, Page

from page_fixtures.dishes import dish, jpeg
from page_fixtures.visits import encode

# Replaces the device's camera. A frozen one delivers no frames.
CAMERA = """
window.camera = { opened: 0, frozen: false, noise: 3, error: null };
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [640, 480];
const context = canvas.getContext("2d");
let picture = null;
camera.show = async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  picture = await createImageBitmap(new Blob([bytes]));
};
setInterval(() => {
  if (camera.frozen || !picture) return;
  context.fillStyle = "#777";
  context.fillRect(0, 0, 640, 480);
  const wide = picture.width > picture.height;
  context.drawImage(picture, wide ? 0 : 80, 0, wide ? 640 : 480, 480);
  context.fillStyle = `rgb(${Math.random() * 255} 0 0)`;
  context.fillRect(0, 0, camera.noise, camera.noise);
}, 50);
if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = async () => {
  camera.opened += 1;
  if (camera.error) throw new DOMException("no", camera.error);
  return canvas.captureStream();
};
"""


def show(page: Page, number: int) -> None:
    """Put a rendered dish in front of the camera; even numbers are clean, odd ones dirty."""
    page.evaluate("(text) => camera.show(text)", encode(jpeg(dish(number, size=480))))


def wait_for_end(page: Page, track: JSHandle) -> None:
    """Wait until a track of the camera is stopped: a dialog closes before its event is heard."""
    page.wait_for_function("(track) => track.readyState === 'ended'", arg=track)
