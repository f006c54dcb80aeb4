//! `twin.rs` in rows of four pixels.

use super::Params;
use crate::{
    block::{Activate, Block, View, calculate},
    parallel::Part,
    plan::Call,
    simd::{
        Simd, Work,
        rows::{Bounds, quad, quad_mut},
    },
};

pub(crate) fn elementwise(call: Call<'_>) {
    let params: Params = call.params();
    let (op, activation) = (call.define("OP"), call.activation("ACTIVATION", call.maybe("parameter").unwrap_or(&[]), 0));
    let (a, b) = (call.read("a"), call.maybe("b"));
    let [pixels, blocks] = [params.pixels, params.blocks].map(|v| v as usize);
    let count = params.outputs as usize / (pixels * blocks);
    let to = View::new(params.output_offset, params.output_stride);
    let (a_at, b_at) = (View::new(params.a_offset, params.a_stride), View::new(params.b_offset, params.b_stride));
    let (level, team) = (call.level, call.team);
    to.split(count, blocks, pixels, 1).shared_by(team, 4).each(team, call.output, |part| {
        let map = |at: View, all| -> &[Block] { &at.image(all, part.image)[part.plane * pixels + part.first..][..part.pixels] };
        let other = match b {
            Some(b) if params.b_is_gate != 0 => Other::Block(b_at.image(b, part.image)[part.plane]),
            Some(b) => Other::Map(map(b_at, b)),
            None => Other::None,
        };
        level.run(Run { op, activation, a: map(a_at, a), other, part });
    });
}

/// The second operand.
#[derive(Clone, Copy)]
enum Other<'a> {
    None,
    /// The same block for all pixels.
    Block(Block),
    Map(&'a [Block]),
}

/// One part's work.
struct Run<'a> {
    op: usize,
    activation: Activate<'a>,
    a: &'a [Block],
    other: Other<'a>,
    part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, activation, a, other, mut part } = self;
        let (bounds, block) = (Bounds::new(activation.kind), part.plane);
        let out = part.plane(0, 0);
        let len = out.len();
        let mut at = 0;
        while at < len {
            // What is left after the last four goes through rows of its own.
            let mut rest = [[[0.0; 4]; 4]; 2];
            let count = (len - at).min(4);
            let (x, y) = if count == 4 {
                (s.load(quad(a, at)), if let Other::Map(map) = other { s.load(quad(map, at)) } else { s.splat(0.0) })
            } else {
                rest[0][..count].copy_from_slice(&a[at..]);
                if let Other::Map(map) = other {
                    rest[1][..count].copy_from_slice(&map[at..]);
                }
                (s.load(&rest[0]), s.load(&rest[1]))
            };
            let y = if let Other::Block(block) = &other { s.repeat(block) } else { y };
            let row = match op {
                1 => s.add(x, y),
                2 => s.mul(x, y),
                0 => x,
                _ => rarely(s, op, x, y),
            };
            let row = bounds.of(s, row);
            if count == 4 {
                s.store(row, quad_mut(out, at));
            } else {
                out[at..].copy_from_slice(&s.blocks(row)[..count]);
            }
            at += count;
        }
        if !bounds.is_all() {
            activation.finish(s, out, block, None);
        }
    }
}

/// What networks calculate on small maps only.
fn rarely<S: Simd>(s: S, op: usize, x: S::Row, y: S::Row) -> S::Row {
    let (x, y) = (s.blocks(x), s.blocks(y));
    s.load(&std::array::from_fn(|at| calculate(op, x[at], y[at])))
}
