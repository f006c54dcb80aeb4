/**
 * Opens a camera, the back one where there are two, on `video`. Gives the function that closes it.
 * `ended` is called if it goes by itself.
 */
export async function openCamera(video, ended) {
  if (!navigator.mediaDevices) throw new Error('the camera cannot be used here: browsers offer it to pages from https or localhost only');
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch (error) {
    throw new Error(`the camera cannot be used: ${error.message || error.name}`);
  }
  const [track] = stream.getVideoTracks();
  track.addEventListener('ended', ended);
  video.srcObject = stream;
  // People expect a mirror of themselves, and nothing else mirrored.
  video.classList.toggle('mirror', track.getSettings().facingMode === 'user');
  await video.play();
  return () => {
    track.stop();
    video.srcObject = null;
  };
}

/** Resolves when `video` has a new frame. */
export const nextFrame = (video) =>
  new Promise((resolve) => ('requestVideoFrameCallback' in video ? video.requestVideoFrameCallback(resolve) : requestAnimationFrame(resolve)));
