// In front of the Worker: counts submits under way, and breaks the kernels whose label holds `broken`.
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
