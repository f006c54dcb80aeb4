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
    /// Input blocks whose loads are under way at a time (`pointwise` and `ghost`): 1 or 2.
    pub unroll: u32,
}

impl Tile {
    const fn new(invocations: u32, pixels: u32, blocks: u32, unroll: u32) -> Self {
        Self { invocations, pixels, blocks, unroll }
    }
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

    /// For `pointwise`: a map of `pixels`.
    pub fn pointwise(&self, pixels: usize) -> Tile {
        match self.class {
            DeviceClass::Gpu => Tile::new(64, if pixels > 256 { 2 } else { 1 }, 2, 2),
            DeviceClass::Software => Tile::new(32, 2, 4, 1),
        }
    }

    /// For `ghost`: a tile of which `region` pixels lie on the map, halo included; with or without a gate.
    pub fn ghost(&self, region: usize, gate: bool) -> Tile {
        match self.class {
            DeviceClass::Gpu => match region {
                0..=64 => Tile::new(64, 1, if gate { 4 } else { 2 }, 2),
                65..=128 => Tile::new(128, 1, 2, 2),
                _ => Tile::new(128, 2, 2, 2),
            },
            DeviceClass::Software => {
                let invocations = region.next_power_of_two().clamp(8, 32) as u32;
                Tile::new(invocations, (region as u32).div_ceil(invocations).next_power_of_two(), 2, 1)
            }
        }
    }

    /// For `conv2d`.
    pub fn conv2d(&self, blocks_out: usize) -> Tile {
        Tile::new(64, 1, if blocks_out >= 4 { 4 } else { blocks_out.next_power_of_two() as u32 }, 1)
    }

    /// For `separable`.
    pub fn separable(&self, blocks_out: usize) -> Tile {
        let blocks = match self.class {
            DeviceClass::Gpu => 4,
            DeviceClass::Software => 8,
        };
        Tile::new(64, 1, (blocks_out.next_power_of_two() as u32).min(blocks), 1)
    }

    /// For `depthwise` with a kernel of `taps` taps: neighbouring pixels of one invocation.
    pub fn depthwise(&self, width_out: usize, taps: usize) -> Tile {
        Tile::new(64, if taps > 9 || width_out < 2 { 1 } else { 2 }, 1, 1)
    }

    /// Invocations of `linear`.
    pub fn linear(&self) -> u32 {
        64
    }

    /// Whether images in memory are resized on the device rather than on the CPU.
    ///
    /// Measured on lavapipe: an image of 4000 x 3000 pixels to its classes takes 122 ms with the CPU's resize, which is 24 ms of it, and
    /// 267 ms with the device's. On a GPU the same work, some 50 million taps, is little, and the CPU is left to decode. Not yet measured
    /// on one.
    pub fn resize_on_device(&self) -> bool {
        self.class == DeviceClass::Gpu
    }

    /// Invocations of `squeeze_excite`.
    pub fn squeeze_excite(&self) -> u32 {
        256
    }
}
