// @ts-check
/** Play a sound for each kind of prediction, for users who do not look at the screen. */

import { loadSetting, saveSetting } from "./settings.js";

// Sequences of [Hz, seconds]. They differ in direction and number, not just in pitch.
const TONES = {
  clean: [
    [660, 0.12],
    [990, 0.2],
  ],
  dirty: [
    [220, 0.22],
    [0, 0.06],
    [220, 0.3],
  ],
  unsure: [
    [440, 0.12],
    [370, 0.12],
    [440, 0.12],
    [370, 0.12],
  ],
  other: [[520, 0.2]],
  nothing: [],
};
const VOLUME = 0.6;
const RAMP = 0.01; // seconds; an abrupt start clicks

let context = null;

/** @returns {boolean} */
export function isSoundOn() {
  return loadSetting("sound") === "on";
}

/**
 * Switch sound on or off; play a sample when switching on.
 *
 * @param {boolean} on
 */
export function setSound(on) {
  saveSetting("sound", on ? "on" : null);
  if (on) playSound("clean");
}

/**
 * Play the sound for a kind of prediction if sound is on.
 *
 * @param {string} kind see labels.js
 */
export function playSound(kind) {
  if (!isSoundOn()) return;
  context ??= new AudioContext();
  context.resume(); // browsers suspend it until the user interacts with the page
  let start = context.currentTime + 0.02;
  for (const [pitch, seconds] of TONES[kind]) {
    if (pitch) play(pitch, start, seconds);
    start += seconds;
  }
}

function play(pitch, start, seconds) {
  const oscillator = new OscillatorNode(context, { type: "triangle", frequency: pitch });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, start);
  gain.gain.linearRampToValueAtTime(VOLUME, start + RAMP);
  gain.gain.setValueAtTime(VOLUME, start + seconds - RAMP);
  gain.gain.linearRampToValueAtTime(0, start + seconds);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(start);
  oscillator.stop(start + seconds);
}
