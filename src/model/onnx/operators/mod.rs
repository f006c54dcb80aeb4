//! The operators: a small function each, in a table.

mod functions;
mod given;
mod joins;
mod products;
mod quantized;
mod reductions;
#[cfg(not(target_arch = "wasm32"))]
mod regions;
mod views;
mod windows;

use super::import::Operator;

/// By their names.
pub(super) const OPERATORS: &[(&str, Operator)] = &[
    ("Abs", functions::function),
    ("Add", functions::binary),
    ("ArgMax", reductions::arg_max),
    ("ArgMin", reductions::arg_max),
    ("AveragePool", windows::pool),
    ("BatchNormalization", windows::batch_norm),
    ("Cast", views::cast),
    ("Clip", functions::clip),
    ("Concat", joins::concat),
    ("Constant", given::same),
    ("ConstantOfShape", views::constant_of_shape),
    ("Conv", windows::conv),
    ("ConvTranspose", windows::conv_transpose),
    ("DequantizeLinear", quantized::dequantize),
    ("Div", functions::binary),
    ("Dropout", views::dropout),
    ("Equal", functions::binary),
    ("Erf", functions::function),
    ("Exp", functions::function),
    ("Expand", views::expand),
    ("Flatten", views::flatten),
    ("Gather", joins::gather),
    ("Gelu", functions::function),
    ("Gemm", products::gemm),
    ("GlobalAveragePool", reductions::global_pool),
    ("GlobalMaxPool", reductions::global_pool),
    ("HardSigmoid", functions::hard_sigmoid),
    ("HardSwish", functions::function),
    ("Identity", given::same),
    ("LeakyRelu", functions::leaky_relu),
    ("MatMul", products::mat_mul),
    ("Max", functions::binary),
    ("MaxPool", windows::pool),
    ("Min", functions::binary),
    ("Mul", functions::binary),
    ("Neg", functions::neg),
    #[cfg(not(target_arch = "wasm32"))]
    ("NonMaxSuppression", regions::non_max_suppression),
    ("PRelu", functions::p_relu),
    ("Pad", joins::pad),
    ("Pow", functions::binary),
    ("Range", joins::range),
    ("QuantizeLinear", quantized::quantize),
    ("ReduceMax", reductions::reduce),
    ("ReduceMean", reductions::reduce),
    ("ReduceMin", reductions::reduce),
    ("ReduceSum", reductions::reduce),
    ("Relu", functions::function),
    ("Reshape", views::reshape),
    ("Resize", windows::resize),
    #[cfg(not(target_arch = "wasm32"))]
    ("RoiAlign", regions::roi_align),
    ("Shape", views::shape),
    ("Sigmoid", functions::function),
    ("Slice", views::slice),
    ("Softmax", reductions::softmax),
    ("Split", views::split),
    ("Sqrt", functions::function),
    ("Squeeze", views::squeeze),
    ("Sub", functions::binary),
    ("Sum", functions::binary),
    ("Tanh", functions::function),
    ("TopK", reductions::top_k),
    ("Transpose", views::transpose),
    ("Unsqueeze", views::unsqueeze),
    ("Upsample", windows::resize),
    ("Where", joins::choose),
];
