//! Which variant of a kernel runs a layer: tile sizes, pixels and channels per invocation, fused or two dispatches.

/// Classes of device that want different tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeviceClass {
    /// Many small cores: registers and occupancy decide.
    #[default]
    Gpu,
    /// A driver that runs shaders on the CPU (lavapipe, SwiftShader, WARP): loads are made lane by lane and dear.
    Software,
}

/// How much one invocation and one workgroup do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Invocations of a workgroup; a power of two.
    pub invocations: u32,
    /// Pixels of one invocation.
    pub pixels: u32,
    /// Output blocks (of four channels) of one invocation.
    pub blocks: u32,
}

/// Everything that may differ between devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The device's class.
    pub class: DeviceClass,
    /// A ghost module in one dispatch, else a pointwise and a depthwise one into the same buffer.
    pub fuse_ghost: bool,
    /// A shortcut's depthwise and 1x1 convolution in one dispatch, else two.
    pub fuse_separable: bool,
}

impl Choice {
    /// The choice for a class of device.
    pub fn new(class: DeviceClass) -> Self {
        Self { class, fuse_ghost: true, fuse_separable: true }
    }

    /// For `pointwise`: a map of `pixels`, `blocks_out` output blocks.
    pub fn pointwise(&self, pixels: usize, blocks_out: usize) -> Tile {
        let _ = blocks_out;
        match self.class {
            DeviceClass::Gpu => Tile { invocations: 64, pixels: if pixels > 256 { 2 } else { 1 }, blocks: 2 },
            DeviceClass::Software => Tile { invocations: 32, pixels: 2, blocks: 4 },
        }
    }

    /// For `ghost`: a tile whose halo included has `cells` cells.
    pub fn ghost(&self, cells: usize) -> Tile {
        match self.class {
            DeviceClass::Gpu => match cells {
                0..=64 => Tile { invocations: 64, pixels: 1, blocks: 2 },
                65..=128 => Tile { invocations: 128, pixels: 1, blocks: 2 },
                _ => Tile { invocations: 128, pixels: 2, blocks: 2 },
            },
            DeviceClass::Software => Tile { invocations: 32, pixels: cells.div_ceil(32).next_power_of_two().min(8) as u32, blocks: 2 },
        }
    }

    /// For `conv2d`.
    pub fn conv2d(&self, blocks_out: usize) -> Tile {
        Tile { invocations: 64, pixels: 1, blocks: if blocks_out >= 4 { 4 } else { blocks_out.max(1).next_power_of_two() as u32 } }
    }

    /// For `separable`.
    pub fn separable(&self, blocks_out: usize) -> Tile {
        let blocks = match self.class {
            DeviceClass::Gpu => 4,
            DeviceClass::Software => 8,
        };
        Tile { invocations: 64, pixels: 1, blocks: (blocks_out.next_power_of_two() as u32).min(blocks) }
    }

    /// For `depthwise`: neighbouring pixels of one invocation.
    pub fn depthwise(&self, width_out: usize, kernel: usize) -> Tile {
        let pixels = if kernel > 9 || width_out < 2 { 1 } else { 2 };
        Tile { invocations: 64, pixels, blocks: 1 }
    }

    /// Invocations of `linear`.
    pub fn linear(&self) -> u32 {
        64
    }

    /// Invocations of `squeeze_excite`.
    pub fn squeeze_excite(&self) -> u32 {
        256
    }
}
