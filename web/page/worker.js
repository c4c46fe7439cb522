// The Worker: it has the device and both networks, and trains while it is asked to.
import init, { Lab, Points, Digits } from './wgrad_web.js';
import { unpacked } from './lzma.js';

const TESTS = 500, HIDDEN = [128];
const DRAW = 60, SIDE = 48, TURN = 120;
let lab, file;
const nets = {
  points: { net: null, on: false, steps: 0, turn: 1, most: 64 },
  digits: { net: null, on: false, steps: 0, turn: 1, most: 32 },
};
let drawn = { points: new Float32Array(), classes: new Uint8Array() };

// One call at a time: the networks share the device, and a network has one user.
let last = Promise.resolve();
function alone(what) {
  const next = last.then(what);
  last = next.catch(() => {});
  return next;
}

const digitsFile = async () => (file ??= await unpacked('digits.bin.lzma'));

const seed = () => Math.floor(Math.random() * 2 ** 32);
async function net(name) {
  const slot = nets[name];
  slot.net ??= name === 'points' ? new Points(lab, seed()) : new Digits(lab, await digitsFile(), TESTS, HIDDEN, seed());
  return slot.net;
}

const turns = {
  async points(slot) {
    const model = await net('points');
    const { points, classes } = drawn;
    if (!classes.length) return new Promise((resolve) => setTimeout(resolve, 100));
    const steps = slot.turn, began = performance.now();
    const losses = [...await model.train(points, classes, steps)];
    paced(slot, steps, performance.now() - began);
    if (!(performance.now() - slot.shown < DRAW)) await shows.points(slot, losses);
  },
  async digits(slot) {
    const model = await net('digits');
    const steps = slot.turn, began = performance.now();
    const [loss] = await model.train(steps, true);
    paced(slot, steps, performance.now() - began);
    await shows.digits(slot, loss);
  },
};

// What the page shows of a network, after steps or without.
const shows = {
  async points(slot, losses = []) {
    const regions = await (await net('points')).regions(SIDE);
    slot.shown = performance.now();
    postMessage({ points: { steps: slot.steps, losses, regions, rate: slot.rate } });
  },
  async digits(slot, loss) {
    if (!(performance.now() - slot.tested < 2000)) {
      slot.test = (await (await net('digits')).test())[1];
      slot.tested = performance.now();
    }
    postMessage({ digits: { steps: slot.steps, loss, test: slot.test, rate: slot.rate } });
  },
};

// Another network, or other weights, are shown at once.
function changed(name, slot) {
  delete slot.tested;
  return shows[name](slot);
}

// Steps of a turn, so that it takes about a tenth of a second, and the steps of a second.
function paced(slot, steps, took) {
  slot.steps += steps;
  const rate = (1000 * steps) / took;
  slot.rate = slot.rate && slot.warm ? 0.8 * slot.rate + 0.2 * rate : rate;
  slot.warm = slot.steps > 4;
  if (took < TURN / 2 && slot.turn < slot.most) slot.turn *= 2;
  if (took > 2 * TURN && slot.turn > 1) slot.turn /= 2;
}

const told = (error) => ({ error: String(error.message ?? error), name: error.name });

let turning = false;
async function turn() {
  if (turning) return;
  turning = true;
  while (Object.values(nets).some((slot) => slot.on)) {
    for (const [name, slot] of Object.entries(nets)) {
      if (!slot.on) continue;
      try {
        await alone(() => turns[name](slot));
      } catch (error) {
        slot.on = false;
        postMessage({ stopped: name, ...told(error) });
      }
    }
    // Messages come in between.
    await new Promise((resolve) => setTimeout(resolve));
  }
  turning = false;
}

const commands = {
  async open() {
    await init({ module_or_path: await unpacked('wgrad_web.wasm.lzma') });
    lab = await Lab.open();
    return lab.adapter();
  },
  run(name, on) {
    nets[name].on = on;
    if (on) turn();
  },
  reset: (name) => alone(() => {
    nets[name].net?.free();
    Object.assign(nets[name], { net: null, steps: 0, rate: 0 });
    return changed(name, nets[name]);
  }),
  save: (name) => alone(async () => (await net(name)).save()),
  load: (name, bytes) => alone(async () => {
    await (await net(name)).load(bytes);
    await changed(name, nets[name]);
  }),
  recognise: (image) => alone(async () => (await net('digits')).recognise(image)),
};

onmessage = async ({ data }) => {
  if (data.points) return void (drawn = data);
  try {
    postMessage({ id: data.id, result: await commands[data.command](...data.args) });
  } catch (error) {
    postMessage({ id: data.id, ...told(error) });
  }
};
