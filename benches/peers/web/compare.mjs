// Times training steps of wgrad's page and of TF.js in one browser, in turn: MNIST 784-128-10, batch 64, Adam.
// `cargo xtask web`, and beside it: npm install && node compare.mjs CHROMIUM http://localhost:8080/ STEPS
import { chromium } from 'playwright-core';

const [executablePath, address, steps = '10'] = process.argv.slice(2);
const args = ['--no-sandbox', '--no-first-run', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const browser = await chromium.launch({ executablePath, headless: true, args });
const page = await (await browser.newContext()).newPage();
page.setDefaultTimeout(3_000_000);
await page.goto(address);
await page.waitForSelector('#points-train:enabled');
for (const file of ['tfjs/dist/tf.min.js', 'tfjs-backend-webgpu/dist/tf-backend-webgpu.min.js']) {
  await page.addScriptTag({ path: `node_modules/@tensorflow/${file}` });
}

// Milliseconds of `n` steps.
const wgrad = (n) => page.evaluate(async (n) => {
  const began = performance.now();
  await wgrad.ask('mnist', n);
  return performance.now() - began;
}, n);
const tfjs = (n) => page.evaluate(async (n) => {
  await tf.setBackend('webgpu');
  globalThis.peer ??= await (async () => {
    const response = await fetch('digits.bin.gz');
    const unpacked = response.body.pipeThrough(new DecompressionStream('gzip'));
    const bytes = new Uint8Array(await new Response(unpacked).arrayBuffer());
    const count = bytes.length / 785;
    const x = tf.tensor2d(Float32Array.from(bytes.subarray(0, count * 784), (v) => v / 255), [count, 784]);
    const y = tf.oneHot(tf.tensor1d(Int32Array.from(bytes.subarray(count * 784)), 'int32'), 10);
    const model = tf.sequential();
    model.add(tf.layers.dense({ units: 128, activation: 'relu', inputShape: [784] }));
    model.add(tf.layers.dense({ units: 10 }));
    const loss = (labels, logits) => tf.losses.softmaxCrossEntropy(labels, logits);
    model.compile({ optimizer: tf.train.adam(0.001), loss });
    return { model, x, y };
  })();
  const { model, x, y } = peer;
  const began = performance.now();
  await model.fit(x.slice([0, 0], [64 * n, 784]), y.slice([0, 0], [64 * n, 10]), { batchSize: 64, epochs: 1, yieldEvery: 'never' });
  return performance.now() - began;
}, n);

const n = +steps, peers = { wgrad, tfjs };
for (const [name, run] of Object.entries(peers)) console.log(`${name}: first 10 steps ${(await run(10)).toFixed(0)} ms`);
for (let round = 1; round <= 3; round++) {
  for (const [name, run] of Object.entries(peers)) console.log(`${round} ${name}: ${((await run(n)) / n).toFixed(1)} ms a step`);
}
await browser.close();
