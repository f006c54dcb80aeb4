//! A tile of a ghost module from its sums to its ghosts, in rows of its sixteen channels.
//!
//! Intrinsic maps go to their planes and, pixel by pixel, into a room with padding around them. A
//! filter's taps are there whole cache lines, and nothing asks where the map ends.

use crate::{
    block::{Block, Residual, ZERO, each},
    kernels::{
        depthwise::twin::Filters,
        pointwise::vector::{Layer, Maps},
    },
    parallel::Part,
    simd::{
        Simd, Work,
        rows::{Bounds, Half, TILE, Target, Tiles, Whole, Width, filled, rest, tiles, with_pixels},
    },
};
use std::{cell::RefCell, marker::PhantomData};

/// Pixels of a room: what is made of it stays in the second cache.
const ROOM: usize = 1024;

/// Side of the filters.
const D: usize = 3;

/// Rows of sixteen channels, a pixel each.
#[repr(align(64))]
pub(super) struct Room([[Block; TILE]; ROOM]);

/// Calls `work` with this thread's room.
pub(super) fn with_room<T>(work: impl FnOnce(&mut Room) -> T) -> T {
    thread_local! {
        static ROOMS: RefCell<Room> = const { RefCell::new(Room([[ZERO; TILE]; ROOM])) };
    }
    ROOMS.with_borrow_mut(work)
}

/// Whether a module is made so: filters of 3 x 3, one ghost of each map, and activations that are
/// done with a row in registers.
pub(super) fn serves(d: usize, groups: usize, width: usize, activation: u32) -> bool {
    d == D && groups == 1 && (width + D - 1) * (D + 1) <= ROOM && Bounds::new(activation).is_all()
}

/// One tile of one image.
pub(super) struct Tile<'a> {
    pub layer: &'a Layer<'a>,
    pub cheap: &'a Filters<'a>,
    /// Rows and columns of a map.
    pub size: [usize; 2],
    /// Blocks of the intrinsic maps.
    pub primary: usize,
    pub maps: Maps<'a>,
    /// Added to the module's result.
    pub residual: Option<Residual<'a>>,
    pub room: &'a mut Room,
    pub part: Part<'a, Block>,
}

impl Work for Tile<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { layer, cheap, size: [height, width], primary, maps, residual, room: Room(room), mut part } = self;
        let (pixels, planes, pitch) = (part.pixels, part.planes, width + D - 1);
        let capacity = (ROOM / pitch).min(height + D - 1);
        let room = &mut room[..capacity * pitch];
        room[..pitch].fill([ZERO; TILE]);
        for row in room.chunks_exact_mut(pitch) {
            (row[0], row[pitch - 1]) = ([ZERO; TILE], [ZERO; TILE]);
        }
        let filter = Filter::new(cheap, part.plane, planes);
        let of = |block: usize| residual.map(|residual| residual.planes([block, planes], pixels, 0, pixels));
        let (plane, halves) = (part.plane, planes <= 2);
        let [intrinsic, ghosts] = part.quads();
        let mut intrinsic = Target::new(intrinsic, of(plane), layer.activation, plane);
        let mut ghosts = Target::new(ghosts, of(primary + plane), cheap.activation, plane);
        // The room begins with the padding above the map.
        let (mut filled, mut made, mut done) = (1, 0, 0);
        while done < height {
            let rows = (height - made).min(capacity - filled);
            for tiles in tiles::<S>(rows * width) {
                let (from, room, target) = ([made, filled], &mut *room, &mut intrinsic);
                with_pixels!(S, tiles.pixels, P => if halves {
                    s.call(Intrinsic::<Half, P> { layer, maps: &maps, plane, width, from, tiles, room, target, of: PhantomData });
                } else {
                    s.call(Intrinsic::<Whole, P> { layer, maps: &maps, plane, width, from, tiles, room, target, of: PhantomData });
                });
            }
            (made, filled) = (made + rows, filled + rows);
            if made == height && filled < capacity {
                room[filled * pitch..][..pitch].fill([ZERO; TILE]);
                filled += 1;
            }
            for row in 0..filled + 1 - D {
                let room = &room[row * pitch..][..D * pitch];
                let (at, target, filter) = ((done + row) * width, &mut ghosts, &filter);
                match strip::<S>(width) {
                    1 => s.call(Ghosts::<1> { filter, room, width, at, target }),
                    2 => s.call(Ghosts::<2> { filter, room, width, at, target }),
                    3 if const { S::STRIP >= 4 } => s.call(Ghosts::<3> { filter, room, width, at, target }),
                    4 if const { S::STRIP >= 4 } => s.call(Ghosts::<4> { filter, room, width, at, target }),
                    8 if const { S::STRIP >= 8 } => s.call(Ghosts::<8> { filter, room, width, at, target }),
                    _ => unreachable!("as many pixels as the level has"),
                }
            }
            done += filled + 1 - D;
            room.copy_within((filled + 1 - D) * pitch..filled * pitch, 0);
            filled = D - 1;
        }
        ghosts.finish(s);
    }
}

/// Pixels of a row's strips, as many as the level has.
#[inline(always)]
fn strip<S: Simd>(width: usize) -> usize {
    match width {
        8.. if S::STRIP == 8 => 8,
        4.. if S::STRIP >= 4 => 4,
        3 if S::STRIP >= 4 => 3,
        2.. => 2,
        _ => 1,
    }
}

/// A tile's cheap operation.
struct Filter {
    weight: [[Block; TILE]; D * D],
    bias: [Block; TILE],
}

impl Filter {
    fn new(cheap: &Filters<'_>, plane: usize, planes: usize) -> Self {
        let mut filter = Self { weight: [[ZERO; TILE]; D * D], bias: [ZERO; TILE] };
        for b in 0..planes {
            filter.bias[b] = cheap.bias[plane + b];
            for (tap, weight) in cheap.weight[(plane + b) * D * D..][..D * D].iter().enumerate() {
                filter.weight[tap][b] = *weight;
            }
        }
        filter
    }
}

/// Tiles of `P` pixels of the intrinsic maps.
struct Intrinsic<'a, 't, W, const P: usize> {
    layer: &'a Layer<'a>,
    maps: &'a Maps<'a>,
    plane: usize,
    width: usize,
    /// The row of the map and that of the room from which on the tiles count.
    from: [usize; 2],
    tiles: Tiles,
    room: &'a mut [[Block; TILE]],
    target: &'a mut Target<'t>,
    of: PhantomData<W>,
}

impl<W: Width, const P: usize> Work for Intrinsic<'_, '_, W, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { layer, maps, plane, width, from: [row, place], tiles, room, target, .. } = self;
        let bounds = Bounds::new(layer.activation.kind);
        let column = tiles.first % width;
        let mut place = Place { at: (place + tiles.first / width) * (width + D - 1) + column + D / 2, column };
        for tile in 0..tiles.count {
            let pixel = row * width + tiles.first + tile * P;
            let (place, room, target) = (&mut place, &mut *room, &mut *target);
            s.call_apart(Pixels::<W, P> { layer, maps, plane, width, bounds, pixel, place, room, target, of: PhantomData });
        }
    }
}

/// `P` pixels of the intrinsic maps.
struct Pixels<'a, 't, W, const P: usize> {
    layer: &'a Layer<'a>,
    maps: &'a Maps<'a>,
    plane: usize,
    width: usize,
    bounds: Bounds,
    pixel: usize,
    place: &'a mut Place,
    room: &'a mut [[Block; TILE]],
    target: &'a mut Target<'t>,
    of: PhantomData<W>,
}

impl<W: Width, const P: usize> Work for Pixels<'_, '_, W, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { layer, maps, plane, width, bounds, pixel, place, room, target, .. } = self;
        let sums = layer.sums::<S, W, P>(s, maps, plane, pixel);
        each!(pixel p < P, s.store(bounds.of(s, W::whole(s, sums[p])), &mut room[place.next(width)]));
        target.store::<S, W, P>(s, pixel, sums);
    }
}

/// A pixel's place in a room, and its column on the map.
struct Place {
    at: usize,
    column: usize,
}

impl Place {
    /// The place; goes on to the next pixel's, past the padding at the end of a row.
    #[inline(always)]
    fn next(&mut self, width: usize) -> usize {
        let at = self.at;
        (self.at, self.column) = if self.column + 1 < width { (at + 1, self.column + 1) } else { (at + D, 0) };
        at
    }
}

/// A row of the ghosts, in strips of `P` pixels.
struct Ghosts<'a, 't, const P: usize> {
    filter: &'a Filter,
    room: &'a [[Block; TILE]],
    width: usize,
    at: usize,
    target: &'a mut Target<'t>,
}

impl<const P: usize> Work for Ghosts<'_, '_, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { filter, room, width, at, target } = self;
        for strip in 0..width.div_ceil(P) {
            // The last overlaps others rather than to be shorter.
            let column = (strip * P).min(width - P);
            let (room, target) = (rest(room, column), &mut *target);
            s.call_apart(Strip::<P> { filter, room, pitch: width + D - 1, at: at + column, target });
        }
    }
}

/// `P` neighbouring pixels of the ghosts.
struct Strip<'a, 't, const P: usize> {
    filter: &'a Filter,
    room: &'a [[Block; TILE]],
    pitch: usize,
    at: usize,
    target: &'a mut Target<'t>,
}

impl<const P: usize> Work for Strip<'_, '_, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { filter, room, pitch, at, target } = self;
        let mut sums = filled::<S, Whole, P>(s, s.load(&filter.bias));
        each!(ky < D, {
            let row = rest(room, ky * pitch);
            let weight = [s.load(&filter.weight[ky * D]), s.load(&filter.weight[ky * D + 1]), s.load(&filter.weight[ky * D + 2])];
            each!(pixel x < P + D - 1, {
                let v = s.load(&row[x]);
                each!(kx < D, {
                    let p = usize::wrapping_sub(x, kx);
                    if p < P {
                        sums[p] = s.mul_add(v, weight[kx], sums[p]);
                    }
                });
            });
        });
        target.store::<S, Whole, P>(s, at, sums);
    }
}
