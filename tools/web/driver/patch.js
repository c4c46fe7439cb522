// In front of the Worker: counts submits under way, breaks the kernels whose label holds `broken`, and trains what a test compares.
let under = 0, most = 0;
const { submit, onSubmittedWorkDone } = GPUQueue.prototype;
GPUQueue.prototype.submit = function (...commands) {
  submit.apply(this, commands);
  most = Math.max(most, ++under);
  onSubmittedWorkDone.call(this).finally(() => under--);
};
const { createShaderModule } = GPUDevice.prototype;
GPUDevice.prototype.createShaderModule = function (module) {
  const breaks = globalThis.broken && module.label?.includes(globalThis.broken);
  return createShaderModule.call(this, breaks ? { ...module, code: module.code + ' fn' } : module);
};
globalThis.mostInFlight = () => most;
// Losses on devices of their own, where every kernel is new: the calls of `web/examples/reference.rs`.
globalThis.losses = {
  async points(steps) {
    const net = new Points(await Lab.open(), 0);
    return [...(await net.train(new Float32Array([-1, -1, -1, 1, 1, -1, 1, 1]), new Uint8Array([0, 1, 1, 0]), steps))];
  },
  async digits(turns, steps) {
    const net = new Digits(await Lab.open(), await digitsFile(), TESTS, HIDDEN, 0);
    const losses = [];
    for (let i = 0; i < turns; i++) losses.push((await net.train(steps, true))[0]);
    return losses;
  },
};
