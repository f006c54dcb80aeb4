//! The operators: a small function each, in a table.

mod functions;
mod given;
mod views;
mod windows;

use super::import::Operator;

/// By their names.
pub(super) const OPERATORS: &[(&str, Operator)] = &[
    ("Abs", functions::abs),
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
    ("Expand", views::expand),
    ("Flatten", views::flatten),
    ("Gather", views::gather),
    ("Gemm", windows::gemm),
    ("GlobalAveragePool", windows::global_pool),
    ("HardSigmoid", functions::hard_sigmoid),
    ("HardSwish", functions::hard_swish),
    ("Identity", given::same),
    ("LeakyRelu", functions::leaky_relu),
    ("MatMul", windows::mat_mul),
    ("MaxPool", windows::pool),
    ("Mul", functions::binary),
    ("Neg", functions::neg),
    ("PRelu", functions::p_relu),
    ("ReduceMean", windows::reduce_mean),
    ("Relu", functions::relu),
    ("Reshape", views::reshape),
    ("Resize", windows::resize),
    ("Shape", views::shape),
    ("Sigmoid", functions::sigmoid),
    ("Slice", views::slice),
    ("Softmax", windows::softmax),
    ("Split", views::split),
    ("Squeeze", views::squeeze),
    ("Sub", functions::binary),
    ("Tanh", functions::tanh),
    ("Transpose", views::transpose),
    ("Unsqueeze", views::unsqueeze),
    ("Upsample", windows::resize),
];
