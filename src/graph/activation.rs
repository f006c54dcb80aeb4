//! Functions of every value.

use super::{ConstId, Constant, constants::vector};
use crate::block::WITH_PARAMETER;

/// A function applied to every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// x
    #[default]
    Identity,
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// relu6(x + 3) / 6
    HardSigmoid,
    /// x * relu6(x + 3) / 6
    HardSwish,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// x / (1 + exp(-x))
    Silu,
    /// tanh(x)
    Tanh,
    /// exp(x)
    Exp,
    /// The square root of x.
    Sqrt,
    /// max(x, -x)
    Abs,
    /// The error function of x.
    Erf,
    /// x * (1 + erf(x / sqrt(2))) / 2
    Gelu,
    /// max(x, 0) + slope * min(x, 0), with a slope `[c]` for each channel.
    PRelu(ConstId),
    /// min(max(round(x), low), low + 255), with a bound `[c]` for each channel, and halves rounded
    /// to even numbers: values of 8 bits, before their scale.
    Round8(ConstId),
}

impl Activation {
    /// Those without parameters, by their numbers.
    pub(crate) const PLAIN: [Self; 13] = [
        Self::Identity,
        Self::Relu,
        Self::Relu6,
        Self::HardSigmoid,
        Self::HardSwish,
        Self::Sigmoid,
        Self::Silu,
        Self::Tanh,
        Self::Exp,
        Self::Sqrt,
        Self::Abs,
        Self::Erf,
        Self::Gelu,
    ];

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
            Self::Tanh => "tanh",
            Self::Exp => "exp",
            Self::Sqrt => "sqrt",
            Self::Abs => "abs",
            Self::Erf => "erf",
            Self::Gelu => "gelu",
            Self::PRelu(_) => "p_relu",
            Self::Round8(_) => "round8",
        }
    }

    /// The number by which `shaders/shared/activation.wgsl` and the CPU's blocks know it.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::PRelu(_) => WITH_PARAMETER,
            Self::Round8(_) => WITH_PARAMETER + 1,
            plain => Self::PLAIN.iter().position(|known| *known == plain).expect("all others are plain") as u32,
        }
    }

    /// The one of this name; `parameter` is the constant of those that have one.
    pub(crate) fn named(name: &str, parameter: Option<ConstId>) -> Option<Self> {
        match (name, parameter) {
            ("p_relu", Some(slope)) => Some(Self::PRelu(slope)),
            ("round8", Some(low)) => Some(Self::Round8(low)),
            (_, None) => Self::PLAIN.into_iter().find(|activation| activation.name() == name),
            _ => None,
        }
    }

    /// Its parameter: `[c]`.
    pub fn parameter(self) -> Option<ConstId> {
        match self {
            Self::PRelu(parameter) | Self::Round8(parameter) => Some(parameter),
            _ => None,
        }
    }

    pub(crate) fn parameter_mut(&mut self) -> Option<&mut ConstId> {
        match self {
            Self::PRelu(parameter) | Self::Round8(parameter) => Some(parameter),
            _ => None,
        }
    }

    /// Its parameter has a value for each of `c` channels.
    pub(super) fn check(self, constants: &[Constant], c: usize) -> Result<(), String> {
        self.parameter().map_or(Ok(()), |parameter| vector(constants, parameter, c))
    }
}

/// An activation with its parameter's values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Activated<'a> {
    /// Which it is.
    pub by: Activation,
    /// Its parameter `[c]`, where it has one.
    pub parameter: Option<&'a [f32]>,
}

impl From<Activation> for Activated<'_> {
    /// One without a parameter.
    fn from(by: Activation) -> Self {
        Self { by, parameter: None }
    }
}

impl Activated<'_> {
    /// How many vectors there are of it and a bias.
    pub(crate) fn vectors(self) -> u32 {
        1 + u32::from(self.parameter.is_some())
    }

    /// Its number, as a shader's constant.
    pub(crate) fn define(self) -> i64 {
        self.by.number().into()
    }
}
