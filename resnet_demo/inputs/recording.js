// One recording from the microphone, which is open only while it is made.
import { say } from '../page/shared.js';

// Why the microphone cannot be used, in a sentence.
export function refusal(error) {
  const reasons = {
    NotAllowedError: say(
      'The microphone could not be used. Allow it beside the address bar, or upload a sound.',
    ),
    NotFoundError: say('No microphone was found. Upload a sound instead.'),
    NotReadableError: say('The microphone is in use by another program.'),
    SecurityError: say('Browsers give the microphone only to pages on this machine or over https.'),
  };
  return reasons[error.name] || say('The microphone cannot be used.');
}

export function microphone() {
  if (!navigator.mediaDevices) throw new DOMException('', 'SecurityError');
  return navigator.mediaDevices.getUserMedia({ audio: true });
}

// A file of so many milliseconds, in the browser's own format; ``begun`` is called when one may speak.
export async function record(milliseconds, begun) {
  const stream = await microphone();
  try {
    const recorder = new MediaRecorder(stream);
    const parts = [];
    recorder.ondataavailable = ({ data }) => parts.push(data);
    const over = new Promise((done) => (recorder.onstop = done));
    recorder.start();
    begun();
    setTimeout(() => recorder.stop(), milliseconds);
    await over;
    return new Blob(parts, { type: recorder.mimeType });
  } finally {
    stream.getTracks().forEach((track) => track.stop());
  }
}
