//! What differs between devices: their classes, the tiles of each class, and what
//! `ghostnet tune` may decide otherwise.

mod roofline;

pub use roofline::{Bandwidth, Roofline};
pub(crate) use roofline::{MOST_REPEATS, next_repeats};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Classes of device that want different tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum DeviceClass {
    /// Many small cores: registers and occupancy decide.
    #[default]
    Gpu,
    /// A driver that runs shaders on the CPU (lavapipe, SwiftShader, WARP). Its one table is for
    /// tests, and for comparison with others there.
    Software,
    /// The kernels' CPU twins.
    Cpu,
}

impl DeviceClass {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gpu, Self::Software, Self::Cpu];
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

    /// Whether every kernel can be composed with it: within WebGPU's limits, and not so large that
    /// a driver compiles for minutes.
    fn is_sound(&self) -> bool {
        let invocations = self.invocations.is_power_of_two() && (4..=256).contains(&self.invocations);
        let sizes = (1..=16).contains(&self.pixels) && (1..=8).contains(&self.blocks) && [1, 2, 4].contains(&self.unroll);
        invocations && sizes && self.pixels * self.blocks * self.unroll <= 16 * 8 * 2
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invocations, pixels, blocks, unroll } = self;
        write!(f, "{invocations} x {pixels} x {blocks}, {unroll} at a time")
    }
}

/// Sizes of ghost tiles that have a tile of their own in a [`Choice`]: up to 64 pixels, up to 128,
/// larger.
const REGIONS: [usize; 2] = [64, 128];

/// Output blocks of a tile on the CPU: a row of sixteen lanes.
pub(crate) const CPU_BLOCKS: u32 = 4;

/// What WebGPU grants a workgroup by default, in bytes.
const WORKGROUP_MEMORY: usize = 16384;

/// Everything that may differ between devices.
///
/// [`Choice::new`] is the choice of the device's class, in which a tile of `None` is the class's.
/// `ghostnet tune` measures others on one adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The device's class.
    pub class: DeviceClass,
    /// A ghost module in one dispatch, else a pointwise and a depthwise one into the same buffer.
    pub fuse_ghost: bool,
    /// A shortcut's depthwise and 1x1 convolution in one dispatch, else two.
    pub fuse_separable: bool,
    /// For `ghost`, by its tile's pixels on the map, halo included: up to 64, up to 128, more. The
    /// class's is taken where workgroup memory does not hold it.
    pub ghost: [Option<Tile>; 3],
    /// For `pointwise`.
    pub pointwise: Option<Tile>,
    /// For `conv2d`.
    pub conv2d: Option<Tile>,
    /// Convolutions also multiply halves, where values are stored as halves and the device offers
    /// it (`shader-f16`): see `plan::Products`.
    pub multiplies_halves: bool,
}

impl Choice {
    /// The choice for a class of device.
    ///
    /// Ghost modules in one dispatch each save 32 launches and the bytes between. Shortcuts in one
    /// dispatch save five launches and the bytes between. Their depthwise taps are then computed
    /// once for every tile of channels, which is dear on a CPU.
    ///
    /// Multiplied halves make the loops of GPUs that pack two in a register a third shorter than in
    /// f32 (docs/measured.md). Drivers that run on the CPU convert to f32 and back around every
    /// operation.
    pub fn new(class: DeviceClass) -> Self {
        let is_gpu = class == DeviceClass::Gpu;
        Self { class, fuse_ghost: true, fuse_separable: is_gpu, ghost: [None; 3], pointwise: None, conv2d: None, multiplies_halves: is_gpu }
    }

    /// What is wrong with a choice that was read from somewhere.
    pub fn check(&self) -> Result<(), String> {
        let tiles = self.ghost.iter().chain([&self.pointwise, &self.conv2d]).flatten();
        match tiles.into_iter().find(|tile| !tile.is_sound()) {
            Some(tile) => Err(format!("no kernel has a tile of {tile}")),
            None => Ok(()),
        }
    }

    /// The tile of `pointwise` or `ghost` on a GPU, of so many invocations and pixels of each. It
    /// says how many output blocks an invocation makes, and of how many input blocks its loads are
    /// under way. `tiles` counts the tiles of all images, and the blocks are those of the input and
    /// the output.
    ///
    /// Two of each keep RDNA2 at 8 subgroups a SIMD or more without spills. But a layer of few
    /// workgroups and many input blocks is one chain of loads, which no other subgroup hides.
    /// RDNA2's code waits for memory twice a turn of the loop, however much the turn loads. So
    /// there one output block takes the weights' registers of four input blocks.
    ///
    /// More workgroups than [`Self::MANY`] have each other to hide behind, and two blocks halve
    /// what they read of the input. With a gate and one pixel an invocation, one block would leave
    /// less than half of the loop to multiply-adds. By the compiler (docs/measured.md), not by a
    /// GPU.
    fn gpu_tile([invocations, pixels]: [u32; 2], tiles: usize, [blocks_in, blocks_out]: [usize; 2], gate: bool) -> Tile {
        let few = blocks_in >= 16 && tiles * blocks_out.div_ceil(2) < Self::MANY;
        let blocks = if few && !(gate && pixels == 1) { 1 } else { 2 };
        Tile::new(invocations, pixels, blocks, if few { 4 } else { 2 })
    }

    /// Workgroups that keep a GPU busy. One of this generation has some 20 to 100 compute units.
    const MANY: usize = 64;

    /// For `pointwise`, of `n` maps of `pixels` pixels and so many blocks of the input and the
    /// output, with or without a gate and a mean over the map.
    ///
    /// On a GPU an invocation has one pixel of a small map, and two of a larger one. Blocks and
    /// inputs under way are as `gpu_tile` says.
    pub fn pointwise(&self, n: usize, pixels: usize, blocks: [usize; 2], (gate, pool): (bool, bool)) -> Tile {
        self.pointwise.unwrap_or(match self.class {
            DeviceClass::Gpu => {
                let each = if pixels > 256 { 2 } else { 1 };
                let tiles = if pool { n } else { n * pixels.div_ceil(64 * each) };
                Self::gpu_tile([64, each as u32], tiles, blocks, gate)
            }
            DeviceClass::Software => Tile::new(8, 8, 2, 1),
            DeviceClass::Cpu => Tile::new(8, 8, CPU_BLOCKS, 1),
        })
    }

    /// For `ghost`, with or without a gate and sums for a squeeze-and-excite. Of a tile `region`
    /// pixels lie on the map, halo included, and it takes `cells` cells of workgroup memory for a
    /// block. `tiles` counts the tiles of all images, and the blocks are those of the input and the
    /// intrinsic maps.
    ///
    /// A GPU's is as for `pointwise`, but with an invocation a pixel where the tile allows it, for
    /// these layers are short of invocations.
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
            DeviceClass::Software => Tile::new(8, region.div_ceil(8).min(8) as u32, 2, 1),
            DeviceClass::Cpu => Tile::new(8, region.div_ceil(8).min(8) as u32, CPU_BLOCKS, 1),
        }
    }

    /// Cells of workgroup memory that a tile of `ghost` may take for each of its blocks. A GPU's
    /// take 8 KiB for two blocks, so that several workgroups share a compute unit. Others take all
    /// that WebGPU grants, for less halo.
    pub fn ghost_cells(&self) -> usize {
        match self.class {
            DeviceClass::Gpu => 256,
            DeviceClass::Software => 480,
            DeviceClass::Cpu => 224,
        }
    }

    /// For `conv2d`.
    pub fn conv2d(&self, blocks_out: usize) -> Tile {
        let tile = self.conv2d.unwrap_or(match self.class {
            DeviceClass::Gpu => Tile::new(64, 1, 4, 1),
            DeviceClass::Software => Tile::new(8, 8, 4, 1),
            DeviceClass::Cpu => return Tile::new(8, 8, CPU_BLOCKS, 1),
        });
        Tile { blocks: tile.blocks.min(blocks_out.next_power_of_two() as u32), ..tile }
    }

    /// For `separable`.
    pub fn separable(&self, blocks_out: usize) -> Tile {
        let most = blocks_out.next_power_of_two() as u32;
        Tile::new(64, 1, if self.class == DeviceClass::Cpu { CPU_BLOCKS } else { most.min(4) }, 1)
    }

    /// For `depthwise` of `taps` taps on maps of `width` columns, of the output.
    pub fn depthwise(&self, width: usize, taps: usize) -> Tile {
        match self.class {
            DeviceClass::Gpu => Tile::new(64, if taps > 9 || width < 2 { 1 } else { 2 }, 1, 1),
            DeviceClass::Software | DeviceClass::Cpu => {
                let pixels = match width {
                    ..4 => 1,
                    _ if width.next_multiple_of(7) <= width.next_multiple_of(4) => 7,
                    _ => 4,
                };
                Tile::new(8, pixels, 1, 1)
            }
        }
    }

    /// Whether images in memory are resized on the device rather than on the CPU, which a driver
    /// that runs on the CPU would do no sooner.
    pub fn resize_on_device(&self) -> bool {
        self.class == DeviceClass::Gpu
    }
}

/// What `ghostnet tune` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Whether halves that are stored are multiplied too. First, since other tiles may suit then.
    Halves,
    /// Shortcuts in one dispatch or two. Before tiles, since in two they are `pointwise`'s as well.
    FuseSeparable,
    /// One of the tiles of [`Choice::ghost`].
    Ghost(usize),
    /// The tile of [`Choice::pointwise`].
    Pointwise,
    /// The tile of [`Choice::conv2d`].
    Conv2d,
}

impl Decision {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 7] =
        [Self::Halves, Self::FuseSeparable, Self::Ghost(0), Self::Ghost(1), Self::Ghost(2), Self::Pointwise, Self::Conv2d];

    /// What is decided.
    pub fn name(self) -> &'static str {
        match self {
            Self::FuseSeparable => "shortcuts",
            Self::Ghost(0) => "ghost, small maps",
            Self::Ghost(1) => "ghost, larger maps",
            Self::Ghost(_) => "ghost, largest maps",
            Self::Pointwise => "pointwise",
            Self::Conv2d => "conv2d",
            Self::Halves => "products",
        }
    }

    /// Choices that differ from `choice` in this alone, and what each is called. They are few,
    /// since each has to be compiled.
    pub fn candidates(self, choice: &Choice) -> Vec<(String, Choice)> {
        let with = |tile| match self {
            Self::Halves | Self::FuseSeparable => *choice,
            Self::Ghost(bucket) => {
                let mut ghost = choice.ghost;
                ghost[bucket] = Some(tile);
                Choice { ghost, ..*choice }
            }
            Self::Pointwise => Choice { pointwise: Some(tile), ..*choice },
            Self::Conv2d => Choice { conv2d: Some(tile), ..*choice },
        };
        // Invocations, pixels, blocks, unroll; none that is a GPU's own for all layers.
        let tiles: &[[u32; 4]] = match self {
            // The only way is away from it: nothing here knows whether the device offers it.
            Self::Halves => {
                let other = Choice { multiplies_halves: false, ..*choice };
                return if choice.multiplies_halves { vec![("of f32".into(), other)] } else { Vec::new() };
            }
            Self::FuseSeparable => {
                let fuse_separable = !choice.fuse_separable;
                let name = if fuse_separable { "in one dispatch" } else { "in two dispatches" };
                return vec![(name.into(), Choice { fuse_separable, ..*choice })];
            }
            Self::Ghost(0) => &[[64, 1, 2, 2], [64, 1, 1, 4], [64, 1, 2, 4], [64, 1, 4, 2], [32, 2, 2, 2], [64, 1, 2, 1]],
            Self::Ghost(1) => &[[128, 1, 2, 2], [128, 1, 1, 4], [128, 1, 2, 4], [64, 2, 2, 2], [128, 1, 4, 2], [128, 1, 2, 1]],
            Self::Ghost(_) => {
                &[[128, 2, 2, 2], [128, 2, 1, 4], [128, 2, 2, 4], [64, 4, 2, 2], [128, 1, 2, 2], [128, 2, 2, 1], [64, 2, 2, 2]]
            }
            Self::Pointwise => &[
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
            Self::Conv2d => &[[64, 2, 4, 1], [128, 1, 4, 1], [64, 1, 2, 1], [32, 1, 4, 1]],
        };
        let tiles = tiles.iter().map(|&[invocations, pixels, blocks, unroll]| Tile::new(invocations, pixels, blocks, unroll));
        tiles.map(|tile| (tile.to_string(), with(tile))).collect()
    }
}
