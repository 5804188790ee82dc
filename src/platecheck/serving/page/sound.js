/** A tone for each kind of answer, for those who do not look at the screen. */

import { remembered, remember } from "./settings.js";

// Hertz and seconds, one after the other; they differ in direction and number, not in pitch alone.
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
const RAMP = 0.01; // seconds; a tone that starts at once clicks

let context = null;

/** Whether tones are wanted. */
export function isSoundOn() {
  return remembered("sound") === "on";
}

/** Switch tones on or off; on, one is played, so that the volume can be judged. */
export function setSound(on) {
  remember("sound", on ? "on" : null);
  if (on) playTone("clean");
}

/** Play the tone of a kind of answer, if tones are wanted. */
export function playTone(kind) {
  if (!isSoundOn()) return;
  context ??= new AudioContext();
  context.resume(); // browsers hold it until a person has touched the page
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
