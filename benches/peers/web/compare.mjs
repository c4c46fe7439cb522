// Times training steps of wgrad, TF.js and jax-js in one browser, in turn: MNIST, 784-128-128-10, batch 64, Adam.
// `cargo xtask web` serves wgrad; beside it: npm install && node compare.mjs CHROMIUM http://localhost:8080/ ROUNDS
//
// All start with wgrad's weights and take the same batches in the same order. A peer whose mean losses of the first and of the
// second 20 steps are not those of wgrad has no times. A round is 20 steps of each. The exit status is 1 if a peer has no times
// or wgrad takes more than 3 times TF.js' time.
import { chromium } from 'playwright-core';
import path from 'node:path';

const [executablePath, address, rounds = '5'] = process.argv.slice(2);
const STEPS = 20, NEAR = 1e-3, BOUND = 3, HIDDEN = [128, 128];
const WIDTHS = [784, ...HIDDEN, 10];
// Kernel and bias of each layer.
const SHAPES = WIDTHS.slice(1).flatMap((units, i) => [[WIDTHS[i], units], [units]]);
const args = ['--no-sandbox', '--no-first-run', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const browser = await chromium.launch({ executablePath, headless: true, args });
const page = await (await browser.newContext()).newPage();
page.setDefaultTimeout(3_000_000);
page.on('pageerror', (error) => console.error(String(error)));
// An empty page beside the served one, and the packages.
await page.route('**/peers.html', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }));
await page.route('**/node_modules/**', (route) => {
  route.fulfill({ path: path.join('node_modules', new URL(route.request().url()).pathname.split('/node_modules/')[1]) });
});
await page.goto(new URL('peers.html', address).href);

// The digits and wgrad, which gives the weights that all start with.
await page.evaluate(async ([STEPS, HIDDEN, SHAPES]) => {
  const { unpacked } = await import('./lzma.js');
  const file = await unpacked('digits.bin.lzma');
  const count = file.length / 785, rows = 64 * STEPS;
  globalThis.pixels = Float32Array.from(file.subarray(0, rows * 784), (v) => v / 255);
  globalThis.labels = Int32Array.from(file.subarray(count * 784, count * 784 + rows));
  const { default: init, Lab, Digits } = await import('./wgrad_web.js');
  await init({ module_or_path: await unpacked('wgrad_web.wasm.lzma') });
  const digits = new Digits(await Lab.open(), file, 500, HIDDEN, 0);
  const bytes = await digits.save();
  const start = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  globalThis.weights = SHAPES.map((shape, i) => {
    const layer = i < 2 ? 'dense' : `dense_${i >> 1}`, name = `${layer}/${i % 2 ? 'bias' : 'kernel'}`;
    if (String(header[name]?.shape) !== String(shape)) throw new Error(`${name} of ${shape} is not among ${JSON.stringify(header)}`);
    const [from, to] = header[name].data_offsets;
    return new Float32Array(bytes.slice(start + from, start + to).buffer);
  });
  globalThis.peers = { wgrad: async () => (await digits.train(STEPS, false))[0] };
}, [STEPS, HIDDEN, SHAPES]);

for (const file of ['tfjs/dist/tf.min.js', 'tfjs-backend-webgpu/dist/tf-backend-webgpu.min.js']) {
  await page.addScriptTag({ path: `node_modules/@tensorflow/${file}` });
}
const tfjs = await page.evaluate(async ([STEPS, HIDDEN, SHAPES]) => {
  const backends = ['webgpu', 'webgl', 'cpu'];
  while (!(await tf.setBackend(backends[0]).catch(() => false))) backends.shift();
  await tf.ready();
  const x = tf.tensor2d(pixels, [64 * STEPS, 784]), y = tf.oneHot(tf.tensor1d(labels, 'int32'), 10);
  const model = tf.sequential();
  HIDDEN.forEach((units, i) => model.add(tf.layers.dense({ units, activation: 'relu', inputShape: i ? undefined : [784] })));
  model.add(tf.layers.dense({ units: 10 }));
  const loss = (labels, logits) => tf.losses.softmaxCrossEntropy(labels, logits);
  model.compile({ optimizer: tf.train.adam(0.001), loss });
  model.setWeights(weights.map((w, i) => tf.tensor(w, SHAPES[i])));
  const fit = { batchSize: 64, epochs: 1, shuffle: false, yieldEvery: 'never' };
  peers.tfjs = async () => (await model.fit(x, y, fit)).history.loss[0];
  return backends[0];
}, [STEPS, HIDDEN, SHAPES]);

const jax = await page.evaluate(async ([STEPS, SHAPES]) => {
  const { init, defaultDevice, numpy: np, nn, jit, valueAndGrad } = await import('./node_modules/@jax-js/jax/dist/index.js');
  const device = (await init()).includes('webgpu') ? 'webgpu' : 'wasm';
  defaultDevice(device);
  const loss = (weights, x, y) => {
    let logits = x;
    for (let i = 0; i < weights.length; i += 2) {
      logits = np.matmul(i ? nn.relu(logits) : logits, weights[i]).add(weights[i + 1]);
    }
    return nn.logSoftmax(logits).mul(y).sum().mul(-1 / 64);
  };
  // Adam in Keras' form; `rate` has the corrections of both means.
  const step = jit((weights, means, squares, rate, x, y) => {
    const [value, gradients] = valueAndGrad(loss)(weights.map((w) => w.ref), x, y);
    const next = gradients.map((g, i) => {
      const mean = means[i].mul(0.9).add(g.ref.mul(0.1));
      const square = squares[i].mul(0.999).add(np.square(g).mul(0.001));
      const by = mean.ref.mul(rate.ref).div(np.sqrt(square.ref).add(1e-7));
      return [weights[i].sub(by), mean, square];
    });
    rate.dispose();
    return [value, ...[0, 1, 2].map((part) => next.map((parts) => parts[part]))];
  });
  const zeros = () => SHAPES.map((shape) => np.zeros(shape));
  let state = [weights.map((w, i) => np.array(w).reshape(SHAPES[i])), zeros(), zeros()], t = 0;
  const batches = Array.from({ length: STEPS }, (_, i) => {
    const hot = new Float32Array(640);
    labels.subarray(64 * i, 64 * i + 64).forEach((label, row) => (hot[10 * row + label] = 1));
    const x = pixels.slice(64 * 784 * i, 64 * 784 * (i + 1));
    return [np.array(x).reshape([64, 784]), np.array(hot).reshape([64, 10])];
  });
  peers['jax-js'] = async () => {
    const losses = [];
    for (const [x, y] of batches) {
      t += 1;
      const rate = np.array(new Float32Array([(0.001 * Math.sqrt(1 - 0.999 ** t)) / (1 - 0.9 ** t)])).reshape([]);
      const [value, ...next] = step(...state, rate, x.ref, y.ref);
      state = next;
      losses.push(value);
    }
    const values = await Promise.all(losses.map((value) => value.data()));
    return values.reduce((sum, [value]) => sum + value, 0) / STEPS;
  };
  return device;
}, [STEPS, SHAPES]);

console.log(`backends: wgrad webgpu, TF.js ${tfjs}, jax-js ${jax}`);
const run = (name) => page.evaluate(async (name) => {
  const began = performance.now();
  const loss = await peers[name]();
  return [loss, performance.now() - began];
}, name);
const names = ['wgrad', 'tfjs', 'jax-js'], losses = {}, times = {};
for (const name of names) {
  const [first, compiled] = await run(name);
  losses[name] = [first, (await run(name))[0]];
  console.log(`${name}: the first ${STEPS} steps ${(compiled / 1000).toFixed(1)} s, mean losses ${losses[name].map((loss) => loss.toFixed(5))}`);
}
const counted = names.filter((name) => losses[name].every((loss, i) => Math.abs(loss - losses.wgrad[i]) <= NEAR));
for (const name of names) if (!counted.includes(name)) console.log(`${name}: other losses than wgrad, so no times`);
for (let round = 0; round < +rounds; round++) {
  for (const name of counted) {
    const time = (await run(name))[1] / STEPS;
    (times[name] ??= []).push(time);
    console.log(`${name}: ${time.toFixed(1)} ms a step`);
  }
}
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
for (const name of counted) {
  console.log(`${name}: median ${median(times[name]).toFixed(1)}, best ${Math.min(...times[name]).toFixed(1)} ms a step`);
}
const ratio = counted.includes('tfjs') ? median(times.wgrad) / median(times.tfjs) : NaN;
console.log(`wgrad / TF.js, medians: ${ratio.toFixed(2)} (bound ${BOUND})`);
await browser.close();
process.exitCode = counted.length === names.length && ratio <= BOUND ? 0 : 1;
