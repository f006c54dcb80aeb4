//! Which variant of a kernel runs a layer: tile sizes, pixels and channels per invocation, fused or two dispatches.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Classes of device that want different tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum DeviceClass {
    /// Many small cores: registers and occupancy decide.
    #[default]
    Gpu,
    /// A driver that runs shaders on the CPU (lavapipe, SwiftShader, WARP): loads are made lane by lane and dear, of one value for all lanes
    /// no less than of a value for each.
    Software,
    /// The same with subgroups of 4 invocations, which hand each other what each has loaded. The table is SwiftShader's, whose compiler takes
    /// minutes where many values live at a time.
    Software4,
    /// The same with subgroups of 8 or more and words of 64 bits. The table is lavapipe's.
    Software8,
}

impl DeviceClass {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gpu, Self::Software, Self::Software4, Self::Software8];

    /// The class of a driver that runs shaders on the CPU, by the least size of its subgroups, 0 where it has none, and whether it has integers
    /// of 64 bits.
    pub fn of_software(subgroup: u32, int64: bool) -> Self {
        match (subgroup, int64) {
            // wgpu 30 cannot ask a browser for subgroups, so the package does without the kernels that take them.
            _ if cfg!(target_arch = "wasm32") => Self::Software,
            (0..=3, _) => Self::Software,
            (8.., true) => Self::Software8,
            _ => Self::Software4,
        }
    }

    /// Whether it is a driver that runs shaders on the CPU.
    pub fn is_software(self) -> bool {
        self != Self::Gpu
    }

    /// Invocations that share what they load, through subgroup operations; 0 where each loads what it needs. GPUs have scalar loads and
    /// caches for what all invocations read.
    pub fn lanes(self) -> u32 {
        match self {
            // No class of a browser's has any: see [`DeviceClass::of_software`].
            _ if cfg!(target_arch = "wasm32") => 0,
            Self::Gpu | Self::Software => 0,
            Self::Software4 => 4,
            Self::Software8 => 8,
        }
    }

    /// Whether blocks are loaded and stored by words of 64 bits rather than of 32: half the iterations of a driver that makes a load lane by lane
    /// and word by word.
    pub fn is_wide(self) -> bool {
        cfg!(not(target_arch = "wasm32")) && self == Self::Software8
    }

    /// Whether weights of f32 lie in textures rather than in buffers.
    ///
    /// SwiftShader makes a load from a buffer value by value: so GhostNet 1.0's pipelines compile in 2.75 s in place of 3.3, and a run takes 56.5 ms in place
    /// of 58 (in turn, 2026-11-26); `linear` 2.9 in place of 3.4.
    pub fn weights_are_textures(self) -> bool {
        cfg!(not(target_arch = "wasm32")) && self == Self::Software4
    }

    /// Whether ghost modules with and without a residual and a ReLU share a pipeline of `ghost_rows`; those with and without a gate always do.
    ///
    /// lavapipe compiles them one after the other: GhostNet 1.0's 19 pipelines took 5.2 s, the 15 that were left 3.3 s, and a run takes as long (19.1
    /// ms). On SwiftShader 12 in place of 16 saved 1.1 s, and a run took 97 ms in place of 88 (2026-11-25).
    pub fn shares_pipelines(self) -> bool {
        self == Self::Software8
    }

    /// Whether a device with such subgroups and integers can do what the class takes.
    pub fn suits(self, subgroup: u32, int64: bool) -> bool {
        if cfg!(target_arch = "wasm32") {
            return matches!(self, Self::Gpu | Self::Software);
        }
        self.lanes() <= subgroup && (int64 || !self.is_wide())
    }
}

/// How much one invocation and one workgroup do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tile {
    /// Invocations of a workgroup; a power of two.
    pub invocations: u32,
    /// Pixels of one invocation.
    pub pixels: u32,
    /// Output blocks (of four channels) of one invocation.
    pub blocks: u32,
    /// Input blocks whose loads are under way at a time (`pointwise` and `ghost`): 1, 2 or 4.
    pub unroll: u32,
}

impl Tile {
    const fn new(invocations: u32, pixels: u32, blocks: u32, unroll: u32) -> Self {
        Self { invocations, pixels, blocks, unroll }
    }

    /// Whether every kernel can be composed with it: within WebGPU's limits, and not so large that a driver compiles for minutes.
    fn is_sound(&self) -> bool {
        let invocations = self.invocations.is_power_of_two() && (4..=256).contains(&self.invocations);
        let sizes = (1..=17).contains(&self.pixels) && (1..=8).contains(&self.blocks) && [1, 2, 4].contains(&self.unroll);
        invocations && sizes && self.pixels * self.blocks * self.unroll <= 17 * 8 * 2
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invocations, pixels, blocks, unroll } = self;
        write!(f, "{invocations} x {pixels} x {blocks}, {unroll} at a time")
    }
}

/// Where `ghost_rows` has the intrinsic maps until it makes ghosts of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// In registers, a few rows at a time.
    Registers = 0,
    /// In the output, and ghosts of as many blocks at a time as a workgroup has runs of columns for: of maps that have no more columns than a workgroup.
    Runs = 1,
    /// In the output, and ghosts of all columns part by part, so that maps of any width share a pipeline.
    Parts = 2,
}

/// How much one invocation and one workgroup of `ghost_rows` do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsTile {
    /// Neighbouring columns of one invocation.
    pub columns: usize,
    /// Where the intrinsic maps are.
    pub route: Route,
    /// Invocations, and the pixels (of the primary convolution, at a time) and blocks of each.
    pub tile: Tile,
}

/// Sizes of ghost tiles that have a tile of their own in a [`Choice`]: up to 64 pixels, up to 128, larger.
const REGIONS: [usize; 2] = [64, 128];

/// [`Choice::workers`] of this machine: its cores, but at most 16, which are all that SwiftShader takes; 4 in a browser, which does not say.
fn workers() -> u32 {
    std::thread::available_parallelism().map_or(4, |n| n.get().min(16) as u32)
}

/// What WebGPU grants a workgroup by default, in bytes.
const WORKGROUP_MEMORY: usize = 16384;

/// Everything that may differ between devices.
///
/// [`Choice::new`] is what was measured for the device's class; `None` is its tile. `ghostnet tune` measures others on one adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The device's class.
    pub class: DeviceClass,
    /// Threads among which a driver that runs on the CPU shares out workgroups. Of this machine, so no file has it.
    #[serde(skip, default = "workers")]
    pub workers: u32,
    /// A ghost module in one dispatch, else a pointwise and a depthwise one into the same buffer.
    pub fuse_ghost: bool,
    /// A shortcut's depthwise and 1x1 convolution in one dispatch, else two.
    pub fuse_separable: bool,
    /// Ghost modules in one dispatch by `ghost_rows`, where the class has lanes and the kernel takes the module; else by `ghost`.
    pub ghost_in_rows: bool,
    /// For `ghost`, by its tile's pixels on the map, halo included: up to 64, up to 128, more. Where workgroup memory does not hold it, the
    /// class's. For `ghost_rows`, by its map's columns: up to 16, up to 28, more (`Software4`: up to 16, more).
    pub ghost: [Option<Tile>; 3],
    /// For `pointwise`.
    pub pointwise: Option<Tile>,
    /// For `conv2d`.
    pub conv2d: Option<Tile>,
    /// Where values are stored as halves, convolutions also multiply halves, if the device offers it (`shader-f16`): see [`Products`](super::Products).
    pub multiplies_halves: bool,
}

impl Choice {
    /// The choice for a class of device.
    ///
    /// In one dispatch each, ghost modules make the whole network 1.3 times as fast as in two on lavapipe, 1.15 times on SwiftShader (bench
    /// `ghost`, columns "ghost" and "in two"), and GPUs save 32 launches and the bytes between. Not on a software driver in a browser, which
    /// writes the zeros that browsers want workgroup memory to start with value by value, and compiles for long what does that: in two,
    /// GhostNet 1.0 took 235 ms and 2.4 s to the first result in Chromium on SwiftShader, in one dispatch with little workgroup memory 275
    /// ms and 4.4 s (in turn, 2026-11-25; other kernels have become quicker since). Shortcuts in one dispatch save five launches and the bytes
    /// between, at the price of computing the depthwise taps once for every tile of channels: on drivers that run on the CPU GhostNet 1.0's five took 6.5 ms in one dispatch each and 3.0 in two on lavapipe, 25 and 7.3 on SwiftShader (2026-11-24).
    ///
    /// Multiplying halves makes the loops of GPUs that pack two in a register a third shorter than in f32 (ARCHITECTURE.md). Drivers that run on
    /// the CPU convert to f32 and back around every operation: GhostNet 1.0 in f32, with halves stored, with halves multiplied took 56, 48
    /// and 72 ms on lavapipe, and 118, 106 and 174 ms of CPU time (in turn, on a busy machine, 2026-11-25). SwiftShader does not offer it.
    pub fn new(class: DeviceClass) -> Self {
        let fuse_separable = class == DeviceClass::Gpu;
        let multiplies_halves = class == DeviceClass::Gpu;
        let fuse_ghost = class != DeviceClass::Software || cfg!(not(target_arch = "wasm32"));
        Self {
            class,
            workers: workers(),
            fuse_ghost,
            fuse_separable,
            ghost_in_rows: true,
            ghost: [None; 3],
            pointwise: None,
            conv2d: None,
            multiplies_halves,
        }
    }

    /// Of some numbers of blocks for a tile, the one with which workers have made `blocks` blocks soonest, where `turns` says how often one of them
    /// sums over the input if there are so many tiles; the first, unless another is a fifth sooner: each is a pipeline of its own.
    ///
    /// What a workgroup takes for its input is like one and a half blocks: 112 -> 672 channels at 14 x 14 took 2416, 2234, 2140 and 2403 us on SwiftShader
    /// with tiles of 5, 6, 7 and 8 blocks (of 84), 480 -> 112 1804, 2075, 1188 and 2881 (of 14; 2 cores, 2026-11-25). A pipeline is half a second there.
    fn share_out(candidates: &[u32], blocks: usize, turns: impl Fn(usize) -> usize) -> u32 {
        let cost = |tile: u32| turns(blocks.div_ceil(tile as usize)) * (2 * tile as usize + 3);
        let soonest = candidates.iter().copied().min_by_key(|&tile| cost(tile)).expect("there are candidates");
        if cost(soonest) * 5 <= cost(candidates[0]) * 4 { soonest } else { candidates[0] }
    }

    /// What is wrong with a choice that was read from somewhere.
    pub fn check(&self) -> Result<(), String> {
        let tiles = self.ghost.iter().chain([&self.pointwise, &self.conv2d]).flatten();
        match tiles.into_iter().find(|tile| !tile.is_sound()) {
            Some(tile) => Err(format!("no kernel has a tile of {tile}")),
            None => Ok(()),
        }
    }

    /// The tile of `pointwise` or `ghost` on a GPU, of so many invocations and pixels of each, for `tiles` tiles of all images and so many blocks of the
    /// input and the output: how many output blocks an invocation makes, and of how many input blocks its loads are under way.
    ///
    /// Two of each keep RDNA2 at 8 subgroups a SIMD or more without spills (tools/isa_report.py). But a layer of few workgroups and many input blocks is one
    /// chain of loads, which no other subgroup hides: RDNA2's code waits for memory twice a turn of the loop, however much it loads in it. So
    /// there one output block takes the weights' registers of four input blocks: the loops of GhostNet 1.0's ghost modules have 526 turns in place of
    /// 1018, and those of few channels 10 to 20 workgroups in place of 5 to 12. More workgroups than [`Self::MANY`] have each other to hide behind, and two blocks halve what
    /// they read of the input. With a gate and one pixel an invocation one block would leave less than half of the loop's instructions to
    /// multiply-adds (43 %), and two leave 52 %. Not yet measured on a GPU.
    #[inline(never)] // two copies are 20 bytes of the browser package
    fn gpu_tile([invocations, pixels]: [u32; 2], tiles: usize, [blocks_in, blocks_out]: [usize; 2], gate: bool) -> Tile {
        let few = blocks_in >= 16 && tiles * blocks_out.div_ceil(2) < Self::MANY;
        let blocks = if few && !(gate && pixels == 1) { 1 } else { 2 };
        Tile::new(invocations, pixels, blocks, if few { 4 } else { 2 })
    }

    /// Workgroups that keep a GPU busy; one of this generation has some 20 to 100 compute units.
    const MANY: usize = 64;

    /// For `pointwise`, of `n` maps of `pixels` pixels and so many blocks of the input and the output, with or without a gate and a mean over the map.
    ///
    /// `Gpu`: small maps in as many invocations as they have pixels; else 2 pixels. Blocks and inputs under way as `gpu_tile` says.
    ///
    /// `Software` pays for every load by lane and little for arithmetic, and compiles what is unrolled: many sums an invocation, but 16.
    /// All ghost modules of GhostNet 1.0 as plain convolutions, ms (bench `ghost`, 2026-11-24):
    ///
    /// | invocations x pixels x blocks | lavapipe | SwiftShader |
    /// |---|---|---|
    /// | 32 x 2 x 4 | 46.2 | 136 |
    /// | 16 x 4 x 4 | 31.0 | 93 |
    /// | 8 x 8 x 2 | 28.0 | 75 |
    /// | 8 x 7 x 4 (28 sums) | 26.7 | 110 |
    /// | 8 x 14 x 4 (56 sums) | 24.9 | 115 |
    ///
    /// `Software4` and `Software8` load a row of weights an invocation, so that more sums pay. The same modules, ms, each invocation with all
    /// weights and with a row of them (2026-11-25, the machine was busy):
    ///
    /// | invocations x pixels x blocks | lavapipe | | SwiftShader | |
    /// |---|---|---|---|---|
    /// | 8 x 8 x 2; 4 x 8 x 2 | 27.7 | 19.5 | 136 | 108 |
    /// | 8 x 7 x 4; 4 x 7 x 4 | 22.5 | 13.4 | 106 | 86 |
    /// | 8 x 8 x 8 | 32.3 | 16.4 | | |
    /// | 8 x 14 x 4; 4 x 14 x 4 | 32.4 | 20.5 | | 81 |
    /// | 8 x 7 x 6, 4 on maps of more than 4096 pixels | | 12.5 | | |
    ///
    /// With words of 64 bits more pixels pay on large maps: 16 -> 16 and 16 -> 48 at 112 x 112 took 0.32 and 0.85 ms with 8 x 7 x 4, 0.31 and 0.81 with 8 x
    /// 14 x 4, 0.40 and 0.83 with 8 x 7 x 6.
    ///
    /// On SwiftShader with weights handed on by `quadBroadcast`, products in registers and blocks stored in a loop, the same modules by size of map, ms (the least
    /// of four rounds, 2026-11-26):
    ///
    /// | 4 x pixels x blocks | 112 x 112 | 56 x 56 | 28 x 28 | 14 x 14 | 7 x 7 | to compile, s |
    /// |---|---|---|---|---|---|---|
    /// | 17 x 4 | **6.4** | 8.2 | 5.7 | 20.7 | 18.8 | 0.20 |
    /// | 14 x 6 | 7.7 | **5.7** | **4.7** | 20.2 | 16.0 | 0.22 |
    /// | 13 x 7 | 8.7 | 6.7 | 5.4 | **18.4** | **13.9** | 0.25 |
    /// | 13 x 10 | 13.0 | 7.6 | 4.6 | 18.0 | 12.7 | 0.34 |
    ///
    /// 13 x 10 would save a tenth of GhostNet's own 1x1 convolutions at 7 x 7, 0.2 ms, for as long again to compile.
    pub fn pointwise(&self, n: usize, pixels: usize, blocks: [usize; 2], (gate, pool): (bool, bool)) -> Tile {
        self.pointwise.unwrap_or(match self.class {
            DeviceClass::Gpu => {
                let each = if pixels > 256 { 2 } else { 1 };
                let tiles = if pool { n } else { n * pixels.div_ceil(64 * each) };
                Self::gpu_tile([64, each as u32], tiles, blocks, gate)
            }
            DeviceClass::Software => Tile::new(8, 8, 2, 1),
            _ if cfg!(target_arch = "wasm32") => unreachable!("no browser has subgroups"),
            DeviceClass::Software4 if pixels > 4096 => Tile::new(4, 17, 4, 1),
            DeviceClass::Software4 if pixels > 256 => Tile::new(4, 14, 6, 1),
            DeviceClass::Software4 => Tile::new(4, 13, 7, 1),
            DeviceClass::Software8 if pixels > 4096 => Tile::new(8, 14, 4, 1),
            DeviceClass::Software8 => Tile::new(8, 7, 6, 1),
        })
    }

    /// The lanes of a `conv2d`, `pointwise` or `ghost_rows` of this tile that share weights: all its invocations, or 0.
    pub fn lanes(&self, tile: &Tile) -> u32 {
        // Halves are not handed on: not every driver with subgroups can.
        if tile.invocations == self.class.lanes() && !self.multiplies_halves { tile.invocations } else { 0 }
    }

    /// For `ghost_rows` on `n` maps of `width` columns and `height` rows with a cheap kernel of `d` and `blocks` intrinsic blocks; `None` where `ghost`
    /// takes the module.
    ///
    /// `Software8`: on large maps the columns are those with the least lanes that lie outside the map or on a halo. All ghost modules of GhostNet 1.0 took 9.6 ms on
    /// lavapipe so, 24.4 by `ghost` (before words of 64 bits). Candidates in registers, us (2026-11-25, the machine was busy):
    ///
    /// | columns x rows x blocks | 16 -> 16 at 112 x 112 | 24 -> 72 at 56 x 56 | 72 -> 40 at 28 x 28 |
    /// |---|---|---|---|
    /// | 14 x 1 x 1, 2, 3 | 387, **340**, 414 | | |
    /// | 7 x 1 x 2, 3, 5 | | 487, **361**, 413 | |
    /// | 4 x 1 x 3, 5 | | | 189, **126** |
    /// | 4 x 2 x 3, 5 | | | 202, 153 |
    ///
    /// Maps of up to 28 columns go through the output since barriers there are a subgroup's: no lane of the primary convolution lies beside the map, and two pipelines (of 8
    /// blocks for wide modules, which have no residual, of 5 for others) take the place of three and 0.3 s less to compile. Before, small maps stood in workgroup memory (one
    /// column an invocation, 5 or 6 blocks), those of 28 columns in registers; us, the least of 4 rounds in turn, modules alone (2026-11-26):
    ///
    /// | 7 pixels x blocks | 40 -> 120 at 28 | 40 -> 240 | 80 -> 184 at 14 | 80 -> 480 | 480 -> 112 | 112 -> 672 | 160 -> 960 at 7 | 960 -> 160 |
    /// |---|---|---|---|---|---|---|---|---|
    /// | before | 229 | 377 | 151 | 295 | 292 | 457 | 234 | **199** |
    /// | 5 | 206 | 342 | 164 | 305 | 291 | 505 | 258 | 209 |
    /// | 7 | | | 147 | 287 | **260** | **404** | 249 | 237 |
    /// | 8 | **203** | **313** | **133** | **251** | 262 | 420 | **225** | 253 |
    /// | 10 | | | 158 | 268 | 329 | 439 | 242 | 205 |
    ///
    /// In the network, with sums and residuals, those of 28 x 28 take 0.89 ms in place of 0.98, smaller ones the same. (Plain convolutions by 6 or 7 blocks, whichever suits, in place
    /// of 6 would gain 3 %, for a pipeline more.) Maps of 56 columns through the output: 1.2 times as slow as in registers.
    ///
    /// `Software4`, ms on SwiftShader of all ghost modules of GhostNet 1.0 (the least of five rounds), which `ghost` makes in 96, and what its pipelines take to compile, s (2026-11-25):
    ///
    /// | columns, pixels x blocks | run | compile |
    /// |---|---|---|
    /// | small maps 2, 14 x 4 in workgroup memory; large maps 4, 4 x 2 in registers | 53.7 | 2.0 |
    /// | by width 2, 4, 7, 14; 13 x 10, 17 x 5 or 7, 14 x 5, 14 x 2 or 3 in the output | 37.1 | 11.4 |
    /// | 4, 13 x 5 or 7; 7, 14 x 2 or 3 in the output, modules with and without a gate by one pipeline | 40.7 | 2.6 |
    ///
    /// With products in registers and weights in textures (2026-11-26) all take 34 ms and their pipelines 2.2 s. 40 -> 120 channels at 28 x 28 took 0.97 ms with 3
    /// blocks, no less than the plain convolution, 0.83 with 5, 40 -> 240 1.60 and 1.45, so wide modules there have a pipeline of their own; narrow ones
    /// with 5 as well would save 0.25 ms of 50, for a pipeline more. With a barrier among a subgroup's invocations in place of a workgroup's, the least of 11 rounds, us:
    ///
    /// | 13 x blocks | 240 -> 80 | 80 -> 184 | 80 -> 480 | 480 -> 112 | 112 -> 672 | 160 -> 960 | 960 -> 160 |
    /// |---|---|---|---|---|---|---|---|
    /// | 5 | **432** | 544 | 1114 | 1556 | 2089 | 1085 | **786** |
    /// | 6 | 492 | **433** | 1070 | 1749 | **1872** | 1042 | 889 |
    /// | 7 | 556 | 514 | 1236 | **1050** | 1921 | 1102 | 1016 |
    /// | 8 | 650 | 556 | 1120 | 1156 | 2051 | 1072 | 1126 |
    /// | 10 | 601 | 639 | **1033** | 1389 | 2092 | **986** | 692 |
    ///
    /// So it is 6 for wide modules, which are others than narrow ones by their activation already. With several blocks' ghosts at a time 160 -> 960 at 7 x 7 went from 1060 to 938,
    /// and all 32 take 30.6 ms.
    ///
    /// 25 pixels in place of 14 gain nothing and compile for twice as long, and more sums than 4 x 2 its compiler does not stand in registers.
    pub fn ghost_rows(&self, n: usize, [width, height]: [usize; 2], d: usize, blocks: usize) -> Option<RowsTile> {
        // All taps are in the code, for each pixel of an invocation.
        if !self.ghost_in_rows || self.class.lanes() == 0 || self.multiplies_halves || d > 3 {
            return None;
        }
        let lanes = self.class.lanes() as usize;
        let tile = |columns, route, pixels, candidates: &[u32]| {
            let with = |blocks| RowsTile { columns, route, tile: Tile::new(lanes as u32, pixels, blocks, 1) };
            let turns =
                |tiles: usize| super::ghost_rows::ghost_rows_strips(&with(candidates[0]), n * tiles, [width, height], d, self.workers).1;
            with(Self::share_out(candidates, blocks, turns))
        };
        let computed = |columns: usize| super::ghost_rows_columns(width, lanes * columns, d).1 * lanes * columns;
        let (bucket, mut tile) = match (lanes, width) {
            (4, ..=16) => (0, tile(4, Route::Runs, 13, if blocks > 20 { &[6] } else { &[5, 7] })),
            (4, ..=28) if blocks > 8 => (1, tile(7, Route::Parts, 14, &[5])),
            (4, _) => (1, tile(7, Route::Parts, 14, &[3, 2])),
            (_, ..=16) => (0, tile(7, Route::Runs, 7, if blocks > 20 { &[8] } else { &[5] })),
            (_, ..=28) => (1, tile(7, Route::Runs, 7, if blocks > 10 { &[8] } else { &[5] })),
            _ => match [4, 7, 14].into_iter().min_by_key(|&columns| computed(columns))? {
                4 => (2, tile(4, Route::Registers, 4, &[5])),
                7 => (2, tile(7, Route::Registers, 7, &[3])),
                columns => (2, tile(columns, Route::Registers, 14, &[2])),
            },
        };
        tile.tile = self.ghost[bucket].unwrap_or(tile.tile);
        // A tile of other invocations is one of `ghost`.
        (tile.tile.invocations as usize == lanes).then_some(tile)
    }

    /// For `ghost`: a tile of which `region` pixels lie on the map, halo included, and that takes `cells` cells of workgroup memory for a
    /// block; with or without a gate, and sums for a squeeze-and-excite; for `tiles` tiles of all images, and so many blocks of the input and the intrinsic
    /// maps.
    ///
    /// `Gpu`: as `pointwise`; an invocation a pixel where the tile allows it, for these layers are short of invocations.
    ///
    /// `Software`: as for `pointwise`. All ghost modules of GhostNet 1.0, ms (bench `ghost`, 2026-11-24), and the network's first result
    /// on lavapipe without any cache, s:
    ///
    /// | invocations x pixels x blocks, cells | lavapipe | SwiftShader | first result |
    /// |---|---|---|---|
    /// | 32 x 8 x 2, 256 | 32.6 | 104 | 4.6 |
    /// | 8 x 32 x 3, 256 | 18.6 | | 16.5 |
    /// | 8 x 16 x 2, 256 | 23.7 | 83 | 4.7 |
    /// | 8 x 7 x 3, 256 | 22.7 | 72 | 4.6 |
    /// | 8 x 4 x 4, 200 | 30.8 | 82 | 4.3 |
    /// | 8 x 8 x 2, 256 | 24.5 | 65 | 3.9 |
    /// | 8 x 8 x 2, 480 | 24.1 | 62 | 4.0 |
    pub fn ghost(&self, region: usize, cells: usize, (gate, sums): (bool, bool), tiles: usize, blocks: [usize; 2]) -> Tile {
        let vectors = |tile: &Tile| cells + if sums { 2 * tile.invocations as usize } else { 0 };
        let fits = |tile: &Tile| tile.blocks as usize * vectors(tile) * 16 <= WORKGROUP_MEMORY;
        let bucket = REGIONS.iter().filter(|most| region > **most).count();
        if let Some(tile) = self.ghost[bucket].filter(fits) {
            return Tile { pixels: tile.pixels.min(region.div_ceil(tile.invocations as usize) as u32), ..tile };
        }
        match self.class {
            DeviceClass::Gpu => {
                let size = match region {
                    0..=64 => [64, 1],
                    65..=128 => [128, 1],
                    _ => [128, 2],
                };
                Self::gpu_tile(size, tiles, blocks, gate)
            }
            _ => Tile::new(8, region.div_ceil(8).min(8) as u32, 2, 1),
        }
    }

    /// Cells of workgroup memory that a tile of `ghost` may take for each of its blocks. `Gpu`: 8 KiB for two blocks, so that several
    /// workgroups share a compute unit. `Software`: all that WebGPU grants, for less halo: 112 x 112 in tiles of 14 x 28, not 14 x 14.
    pub fn ghost_cells(&self) -> usize {
        match self.class {
            DeviceClass::Gpu => 256,
            _ => 480,
        }
    }

    /// For `conv2d`. `Software`: the stem took 3.1 ms on lavapipe with 64 x 1 x 4, 1.2 ms with 16 x 4 x 4, 0.9 ms with 8 x 8 x 4; 6.9 and 5.8 ms
    /// with the last two on SwiftShader (2026-11-24). There neighbours share columns now, and it takes 2.5 (2026-11-26). With weights handed on it took 0.60 ms on lavapipe with 8 x 8 x 4, 0.60 with 14 pixels,
    /// 0.68 with 4, 0.83 with 2 blocks; on SwiftShader 4.7 ms with 4 x 8 x 4, 4.3 with 14 pixels, which compile for longer, 5.7 with 4; and compiled in
    /// three quarters of the time on both (2026-11-25).
    pub fn conv2d(&self, blocks_out: usize) -> Tile {
        let tile = self.conv2d.unwrap_or(match self.class {
            DeviceClass::Gpu => Tile::new(64, 1, 4, 1),
            DeviceClass::Software4 => Tile::new(4, 8, 4, 1),
            _ => Tile::new(8, 8, 4, 1),
        });
        Tile { blocks: tile.blocks.min(blocks_out.next_power_of_two() as u32), ..tile }
    }

    /// For `separable`.
    pub fn separable(&self, blocks_out: usize) -> Tile {
        let blocks = match self.class {
            DeviceClass::Gpu => 4,
            _ => 8,
        };
        Tile::new(64, 1, (blocks_out.next_power_of_two() as u32).min(blocks), 1)
    }

    /// For `depthwise` on `n` maps with `blocks` blocks; sizes are (rows, columns), of the output. The tile, and the rows of the strip that one
    /// invocation goes down; 0 where it makes neighbouring pixels of one row only.
    ///
    /// On drivers that run on the CPU a strip loads each row once (2026-11-26): GhostNet 1.0's nine took 2.2 ms on lavapipe and 9.8 on SwiftShader by
    /// 7 neighbours, whose rows of taps were a loop, and take 1.2 and 3.7 in strips. Columns of a strip, ms of all nine and s to compile:
    ///
    /// | columns | lavapipe | | SwiftShader | |
    /// |---|---|---|---|---|
    /// | **7** | 1.2 | 0.78 | 3.7 | 0.92 |
    /// | 4 | 1.5 | 1.02 | 4.0 | 0.92 |
    /// | 3 | 1.4 | 0.48 | 4.4 | 0.43 |
    /// | 2 | 1.5 | 0.69 | 4.1 | 0.67 |
    ///
    /// (With 4 and 2 some maps are ragged and some not; pipelines with and without sums are one since.)
    pub fn depthwise(&self, n: usize, [height, width]: [usize; 2], blocks: usize, kernel: [usize; 2], stride: [usize; 2]) -> (Tile, usize) {
        let taps = kernel[0] * kernel[1];
        if !self.class.is_software() {
            return (Tile::new(64, if taps > 9 || width < 2 { 1 } else { 2 }, 1, 1), 0);
        }
        let pixels = match width {
            ..4 => 1,
            _ if width.next_multiple_of(7) <= width.next_multiple_of(4) => 7,
            _ => 4,
        };
        // All taps and sums under way of a strip are in registers. In a browser (`Software`) on SwiftShader the larger ones take a second more to the first
        // classes and save 4 of 190 ms, those of ghosts take nothing.
        let (most_taps, most_sums) = if self.class == DeviceClass::Software { (9, 21) } else { (25, 35) };
        let sums = super::depthwise::live(kernel, stride) * pixels as usize;
        let skips = stride[0] > kernel[0] || stride[1] > kernel[1];
        if taps > most_taps || sums > most_sums || skips || (self.class == DeviceClass::Software && stride[0] > 1) {
            return (Tile::new(8, pixels, 1, 1), 0);
        }
        let tile = Tile::new(self.class.lanes().max(4), pixels, 1, 1);
        (tile, super::depthwise::depthwise_strip(n, [height, width], blocks, kernel, stride, &tile, self.workers))
    }

    /// Whether the taps of depthwise filters that have no strips are loops. Drivers that run shaders on the CPU compile unrolled ones for long and gain nothing:
    /// with loops the first start of GhostNet 1.0 takes 4.6 s of CPU time instead of 5.6 on lavapipe, 3.5 instead of 3.8 on SwiftShader.
    /// A GPU has more loads under way.
    pub fn rolls_taps(&self) -> bool {
        self.class.is_software()
    }

    /// Invocations of `linear`, which share inputs where the class has lanes. `Software`: GhostNet 1.0's two layers took 2.6 ms on lavapipe and 15 on
    /// SwiftShader with 64, whose sums meet over six barriers, 1.5 and 4.0 with 8 (2026-11-24). On lavapipe they took 0.95 ms then by pairs of rows, and
    /// take 0.66 where an invocation has an output block of its own, so that no sum has to meet another; on SwiftShader 4.9 and 3.4, with weights in
    /// textures 2.9 (2026-11-26).
    pub fn linear(&self) -> u32 {
        match (self.class, self.class.lanes()) {
            (DeviceClass::Gpu, _) => 64,
            (_, 0) => 8,
            (_, lanes) => lanes,
        }
    }

    /// Invocations of `pool` for a whole map. `Software`: as for `linear`; with 64 the sums of small maps were 45 % of the embedded network's time in
    /// Chromium on SwiftShader, 6 % with 8, and GhostNet 1.0 took 210 ms there, 180 with 8 (2026-11-25).
    pub fn pool(&self) -> u32 {
        match self.class {
            DeviceClass::Gpu => 64,
            _ => 8,
        }
    }

    /// Whether images in memory are resized on the device rather than on the CPU.
    ///
    /// Medians on lavapipe, GhostNet 1.0, an image to its classes, with the CPU's resize and the device's: 224 x 224 pixels 55.7 and 57.3 ms,
    /// 640 x 480 55.7 and 59.5 ms, 4000 x 3000 79.7 (24 of them the resize) and 145.2 ms. On a GPU the same work, some 40 million taps for the
    /// largest, is little, and the CPU is left to decode; not yet measured on one.
    pub fn resize_on_device(&self) -> bool {
        self.class == DeviceClass::Gpu
    }

    /// Invocations of `squeeze_excite`, which share what they load where the class has lanes; the inputs of one that are under way at a time; and
    /// whether the means lie in workgroup memory.
    ///
    /// `Gpu`: with four inputs 16 loads are under way, by RDNA2's code, where a turn of one waited for four.
    ///
    /// `Software` is SwiftShader in a browser (natively no such driver was met), which compiles the zeros of workgroup memory value by value,
    /// 1.3 ms for each 16 bytes: this kernel took 550 ms with 64 invocations and means there, 120 so. Natively nothing is zeroed: GhostNet
    /// 1.0's seven took 2.3, 2.2, 2.3 and 2.3 ms on lavapipe with 256, 64, 32 and 16 invocations, 5.5, 4.3, 4.2 and 4.2 on SwiftShader; a
    /// fifth more without means in workgroup memory (2026-11-25). In two parts, with pairs of rows, they took 1.32 ms on lavapipe with 64, and take 0.85 where
    /// invocations have blocks of their own, as in `linear`; on SwiftShader 3.05 so, with weights in textures, and 3.05 with 32 before (2026-11-26).
    pub fn squeeze_excite(&self) -> (u32, u32, bool) {
        match self.class {
            DeviceClass::Software => (16, 1, false),
            DeviceClass::Gpu => (256, 4, true),
            class => (class.lanes(), 1, true),
        }
    }

    /// Parts in which `squeeze_excite` makes the gates of each of `n` images: the second layer is shared out among idle workers (or a GPU's compute
    /// units), each of which makes all of the first, so that with four of them five eighths of the time are left, and with more hardly less. With two GhostNet 1.0's seven
    /// took 1.4 ms on lavapipe in place of 2.1, two thirds of it by pairs of rows, and 3.1 in place of 4.1 on SwiftShader (2026-11-25).
    pub fn gate_parts(&self, n: usize) -> u32 {
        let idle = match self.class {
            DeviceClass::Gpu => 4,
            DeviceClass::Software => 1,
            DeviceClass::Software4 | DeviceClass::Software8 => self.workers,
        };
        (idle / n as u32).clamp(1, 4)
    }

    /// Invocations of `softmax_top_k`; each takes workgroup memory, of which see [`Choice::squeeze_excite`].
    pub fn softmax_top_k(&self) -> u32 {
        match self.class {
            DeviceClass::Software => 32,
            _ => 256,
        }
    }

    /// Side of a workgroup's tile of `resize`, a square of invocations, each of which takes workgroup memory; 16 is WebGPU's default limit.
    pub fn resize_tile(&self) -> u32 {
        match self.class {
            DeviceClass::Software => 8,
            _ => 16,
        }
    }
}

/// What `ghostnet tune` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Where halves are stored, whether they are multiplied too. First, for other tiles may suit.
    Halves,
    /// Shortcuts in one dispatch or two. Before tiles, for in two they are `pointwise`'s as well.
    FuseSeparable,
    /// [`Choice::ghost_in_rows`]. Before tiles, for they are those of the kernel.
    GhostInRows,
    /// One of the tiles of [`Choice::ghost`].
    Ghost(usize),
    /// The tile of [`Choice::pointwise`].
    Pointwise,
    /// The tile of [`Choice::conv2d`].
    Conv2d,
}

impl Decision {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 8] = [
        Self::Halves,
        Self::FuseSeparable,
        Self::GhostInRows,
        Self::Ghost(0),
        Self::Ghost(1),
        Self::Ghost(2),
        Self::Pointwise,
        Self::Conv2d,
    ];

    /// What is decided.
    pub fn name(self) -> &'static str {
        match self {
            Self::FuseSeparable => "shortcuts",
            Self::GhostInRows => "ghost modules",
            Self::Ghost(0) => "ghost, small maps",
            Self::Ghost(1) => "ghost, larger maps",
            Self::Ghost(_) => "ghost, largest maps",
            Self::Pointwise => "pointwise",
            Self::Conv2d => "conv2d",
            Self::Halves => "products",
        }
    }

    /// Choices that differ from `choice` in this alone, and what each is called. Few: drivers that run on the CPU compile for long.
    pub fn candidates(self, choice: &Choice) -> Vec<(String, Choice)> {
        let with = |tile| match self {
            Self::Halves | Self::FuseSeparable | Self::GhostInRows => *choice,
            Self::Ghost(bucket) => {
                let mut ghost = choice.ghost;
                ghost[bucket] = Some(tile);
                Choice { ghost, ..*choice }
            }
            Self::Pointwise => Choice { pointwise: Some(tile), ..*choice },
            Self::Conv2d => Choice { conv2d: Some(tile), ..*choice },
        };
        let lanes = if choice.ghost_in_rows || matches!(self, Self::Pointwise | Self::Conv2d) { choice.class.lanes() } else { 0 };
        // Invocations, pixels, blocks, unroll; none that is the class's own for all layers.
        let tiles: &[[u32; 4]] = match (self, choice.class, lanes) {
            // Only away from it: nothing here knows whether the device offers it.
            (Self::Halves, ..) => {
                let other = Choice { multiplies_halves: false, ..*choice };
                return if choice.multiplies_halves { vec![("of f32".into(), other)] } else { Vec::new() };
            }
            (Self::GhostInRows, ..) if choice.class.lanes() == 0 => &[],
            (Self::GhostInRows, ..) => {
                let ghost_in_rows = !choice.ghost_in_rows;
                let name = if ghost_in_rows { "by rows" } else { "by tiles" };
                return vec![(name.into(), Choice { ghost_in_rows, ..*choice })];
            }
            (Self::FuseSeparable, ..) => {
                let fuse_separable = !choice.fuse_separable;
                let name = if fuse_separable { "in one dispatch" } else { "in two dispatches" };
                return vec![(name.into(), Choice { fuse_separable, ..*choice })];
            }
            (Self::Ghost(0), DeviceClass::Gpu, _) => {
                &[[64, 1, 2, 2], [64, 1, 1, 4], [64, 1, 2, 4], [64, 1, 4, 2], [32, 2, 2, 2], [64, 1, 2, 1]]
            }
            (Self::Ghost(1), DeviceClass::Gpu, _) => {
                &[[128, 1, 2, 2], [128, 1, 1, 4], [128, 1, 2, 4], [64, 2, 2, 2], [128, 1, 4, 2], [128, 1, 2, 1]]
            }
            (Self::Ghost(_), DeviceClass::Gpu, _) => {
                &[[128, 2, 2, 2], [128, 2, 1, 4], [128, 2, 2, 4], [64, 4, 2, 2], [128, 1, 2, 2], [128, 2, 2, 1], [64, 2, 2, 2]]
            }
            (Self::Ghost(0), _, 8) => &[[8, 7, 5, 1], [8, 7, 7, 1], [8, 7, 8, 1]],
            (Self::Ghost(1), _, 8) => &[[8, 7, 6, 1], [8, 7, 7, 1], [8, 7, 8, 1]],
            (Self::Ghost(_), _, 8) => &[[8, 14, 2, 1], [8, 14, 3, 1], [8, 7, 5, 1]],
            (Self::Ghost(0), _, 4) => &[[4, 13, 4, 1], [4, 13, 7, 1], [4, 8, 5, 1]],
            (Self::Ghost(1), _, 4) => &[[4, 14, 2, 1], [4, 14, 5, 1], [4, 7, 3, 1]],
            (Self::Ghost(_), _, 4) => &[],
            (Self::Ghost(0 | 1), ..) => &[[8, 7, 3, 1], [8, 4, 4, 1], [16, 4, 2, 1], [8, 4, 2, 1]],
            (Self::Ghost(_), ..) => &[[8, 16, 2, 1], [8, 7, 3, 1], [16, 4, 2, 1], [8, 14, 1, 1]],
            (Self::Pointwise, DeviceClass::Gpu, _) => &[
                [64, 2, 2, 2],
                [64, 1, 1, 4],
                [64, 1, 2, 4],
                [64, 2, 1, 4],
                [64, 1, 4, 2],
                [64, 2, 4, 2],
                [64, 4, 2, 2],
                [32, 2, 2, 2],
                [64, 2, 2, 1],
            ],
            (Self::Pointwise, _, 8) => &[[8, 7, 4, 1], [8, 7, 5, 1], [8, 5, 6, 1], [8, 8, 2, 1]],
            (Self::Pointwise, _, 4) => &[[4, 14, 4, 1], [4, 7, 4, 1], [8, 8, 2, 1]],
            (Self::Pointwise, ..) => &[[8, 7, 4, 1], [32, 2, 4, 1], [16, 4, 2, 1], [16, 4, 4, 1]],
            (Self::Conv2d, DeviceClass::Gpu, _) => &[[64, 2, 4, 1], [128, 1, 4, 1], [64, 1, 2, 1], [32, 1, 4, 1]],
            (Self::Conv2d, _, 8) => &[[8, 4, 4, 1], [8, 14, 4, 1], [8, 8, 2, 1]],
            (Self::Conv2d, _, 4) => &[[4, 4, 4, 1], [4, 14, 4, 1], [8, 8, 4, 1]],
            (Self::Conv2d, ..) => &[[16, 4, 4, 1], [32, 2, 4, 1], [16, 4, 2, 1]],
        };
        let tiles = tiles.iter().map(|&[invocations, pixels, blocks, unroll]| Tile::new(invocations, pixels, blocks, unroll));
        tiles.map(|tile| (tile.to_string(), with(tile))).collect()
    }
}
