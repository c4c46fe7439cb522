//! A scan in a plan: its body's dispatches once, and a loop around them.
//!
//! Each carry has two buffers that change places after each iteration. Rows of tables are regions that move.

use super::build::Lowering;
use super::materialise::materialise_body;
use super::schedule::schedule;
use super::storage::{Place, Storage};
use super::{MAX_LOOPS, Repeat};
use crate::error::{Error, Result};
use crate::graph::{Graph, Param, Scan, Table, TensorType, Value};

impl Lowering<'_> {
    /// Lowers the scan of node `i`, which is at position `at` of the order.
    pub(super) fn scan(
        &mut self,
        graph: &Graph,
        (i, at): (usize, usize),
        scan: &Scan,
        storage: &mut Storage,
    ) -> Result<()> {
        let node = &graph.nodes()[i];
        let layer = node.layer.as_deref().unwrap_or_default();
        let depth = self.around.len();
        if depth == MAX_LOOPS {
            let layer = if layer.is_empty() { String::new() } else { format!("layer `{layer}`: ") };
            return Err(Error::Limit {
                what: format!("{layer}scan: scans inside each other"),
                needed: depth as u64 + 1,
                allowed: MAX_LOOPS as u64,
                detail: "compute the inner one outside".into(),
            });
        }
        let results: Vec<Value> = graph.values(i).collect();
        let (finals, tables) = results.split_at(scan.carries);
        for &table in tables {
            storage.allocate(table, graph.ty(table).bytes());
        }
        // Initial values: first row of a history, and the buffer that the first iteration reads.
        for (&table, &value) in scan.tables.iter().zip(tables) {
            if let Table::History { carry, backwards } = table {
                let initial = node.inputs[carry];
                let (ty, from) = (graph.ty(initial), storage.region(graph, initial)?);
                let mut place = storage.place(graph, value)?;
                if backwards {
                    place.offset += (scan.times * Scan::row(&ty.shape) * 4) as u64;
                }
                let to = place.region(ty.bytes());
                self.copy("copy[first row]", layer, ty, from, to)?;
            }
        }
        let mut pairs = Vec::with_capacity(scan.carries);
        for &initial in &node.inputs[..scan.carries] {
            let ty = graph.ty(initial);
            let first = match storage.give_up(graph, node, initial, at) {
                Some(buffer) => buffer,
                None => {
                    let from = storage.region(graph, initial)?;
                    let buffer = storage.buffers.take(ty.bytes());
                    let to = Place::of(buffer).region(ty.bytes());
                    self.copy("copy[initial carry]", layer, ty, from, to)?;
                    buffer
                }
            };
            pairs.push([first, storage.buffers.take(ty.bytes())]);
        }
        self.body(graph, i, scan, &pairs, storage)?;
        for (&[first, second], &value) in pairs.iter().zip(finals) {
            let (last, other) =
                if scan.times.is_multiple_of(2) { (first, second) } else { (second, first) };
            storage.own(value, last);
            storage.buffers.release(other);
        }
        Ok(())
    }

    /// Lowers the body as the dispatches of a loop.
    fn body(
        &mut self,
        graph: &Graph,
        i: usize,
        scan: &Scan,
        pairs: &[[usize; 2]],
        storage: &mut Storage,
    ) -> Result<()> {
        let node = &graph.nodes()[i];
        let depth = self.around.len();
        let row_place = |table: Place, ty: &TensorType, backwards: bool, first: usize| {
            let stride = Scan::row(&ty.shape) as u64 * 4;
            let mut place = table;
            place.strides[depth] = if backwards { -(stride as i64) } else { stride as i64 };
            place.offset += stride * (first + if backwards { scan.times - 1 } else { 0 }) as u64;
            place
        };
        let unplaced = scan.body.graph();
        let place_of = |param: Param, ty: &TensorType| -> Result<Place> {
            let operand = || storage.place(graph, node.inputs[scan.operand_index(param)]);
            Ok(match param {
                Param::Carry(k) => Place::of(pairs[k][0]),
                Param::Slice(m) => row_place(operand()?, ty, scan.sequences[m], 0),
                Param::Outer(_) => operand()?,
            })
        };
        let mut moving = Vec::new();
        for (param, v) in unplaced.params() {
            if place_of(param, unplaced.ty(v))?.region(4).moves() {
                moving.push(v);
            }
        }
        let body = materialise_body(unplaced, &moving, scan.carries)?;
        body.verify("materialise")?;
        let schedule = schedule(&body);
        let mut places = Vec::new();
        for (param, v) in body.params() {
            places.push((v, place_of(param, body.ty(v))?));
        }
        let outputs: Vec<Value> = body.outputs().iter().map(|(_, v)| *v).collect();
        let (carries, rows) = outputs.split_at(scan.carries);
        for (&v, pair) in carries.iter().zip(pairs) {
            places.push((body.storage_root(v), Place::of(pair[1])));
        }
        let tables = graph.values(i).skip(scan.carries);
        for ((&v, &table), value) in rows.iter().zip(&scan.tables).zip(tables) {
            let place = storage.place(graph, value)?;
            let place = match table {
                Table::Stack { backwards } => row_place(place, body.ty(v), backwards, 0),
                Table::History { backwards, .. } => {
                    row_place(place, body.ty(v), backwards, usize::from(!backwards))
                }
            };
            places.push((body.storage_root(v), place));
        }
        let buffers = std::mem::take(&mut storage.buffers);
        let mut inner = Storage::new(&body, &schedule, buffers)?;
        inner.places.extend(places);
        let (start, loop_at) = (self.dispatches.len(), self.repeats.len());
        self.repeats.push(Repeat {
            body: start..start,
            times: scan.times,
            swaps: pairs.to_vec(),
            countdown: scan.countdown,
            outer: self.around.last().copied(),
        });
        self.around.push(loop_at);
        let lowered = self.graph(&body, &schedule, &mut inner);
        self.around.pop();
        self.repeats[loop_at].body.end = self.dispatches.len();
        storage.buffers = inner.buffers;
        lowered
    }
}
