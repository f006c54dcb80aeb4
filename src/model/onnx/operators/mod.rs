//! The operators: a small function each, in a table.

mod functions;
mod given;
mod views;
mod windows;

use super::import::Operator;

/// By their names.
pub(super) const OPERATORS: &[(&str, Operator)] = &[
    ("Abs", functions::function),
    ("Add", functions::binary),
    ("AveragePool", windows::pool),
    ("BatchNormalization", windows::batch_norm),
    ("Cast", views::cast),
    ("Clip", functions::clip),
    ("Concat", views::concat),
    ("Constant", given::same),
    ("ConstantOfShape", views::constant_of_shape),
    ("Conv", windows::conv),
    ("Div", functions::binary),
    ("Dropout", views::dropout),
    ("Equal", functions::binary),
    ("Erf", functions::function),
    ("Exp", functions::function),
    ("Expand", views::expand),
    ("Flatten", views::flatten),
    ("Gather", views::gather),
    ("Gelu", functions::function),
    ("Gemm", windows::gemm),
    ("GlobalAveragePool", windows::global_pool),
    ("HardSigmoid", functions::hard_sigmoid),
    ("HardSwish", functions::function),
    ("Identity", given::same),
    ("LeakyRelu", functions::leaky_relu),
    ("MatMul", windows::mat_mul),
    ("Max", functions::binary),
    ("MaxPool", windows::pool),
    ("Min", functions::binary),
    ("Mul", functions::binary),
    ("Neg", functions::neg),
    ("PRelu", functions::p_relu),
    ("Pow", functions::binary),
    ("ReduceMean", windows::reduce_mean),
    ("Relu", functions::function),
    ("Reshape", views::reshape),
    ("Resize", windows::resize),
    ("Shape", views::shape),
    ("Sigmoid", functions::function),
    ("Slice", views::slice),
    ("Softmax", windows::softmax),
    ("Split", views::split),
    ("Sqrt", functions::function),
    ("Squeeze", views::squeeze),
    ("Sub", functions::binary),
    ("Sum", functions::binary),
    ("Tanh", functions::function),
    ("Transpose", views::transpose),
    ("Unsqueeze", views::unsqueeze),
    ("Upsample", windows::resize),
];
