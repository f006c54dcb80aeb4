//! Functions of every value.

/// A function applied to every value. The numbers are those of `shaders/shared/activation.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Activation {
    /// x
    #[default]
    Identity = 0,
    /// max(x, 0)
    Relu = 1,
    /// min(max(x, 0), 6)
    Relu6 = 2,
    /// relu6(x + 3) / 6
    HardSigmoid = 3,
    /// x * relu6(x + 3) / 6
    HardSwish = 4,
    /// 1 / (1 + exp(-x))
    Sigmoid = 5,
    /// x / (1 + exp(-x))
    Silu = 6,
}

impl Activation {
    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::Identity, Self::Relu, Self::Relu6, Self::HardSigmoid, Self::HardSwish, Self::Sigmoid, Self::Silu];

    /// Its name: `relu`, `hard_sigmoid`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::HardSigmoid => "hard_sigmoid",
            Self::HardSwish => "hard_swish",
            Self::Sigmoid => "sigmoid",
            Self::Silu => "silu",
        }
    }

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|activation| activation.name() == name)
    }
}
