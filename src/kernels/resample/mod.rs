//! Maps of another size: `shaders/resample.wgsl`. (`resize` is the kernel that makes a network's
//! input of an image.)

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Coordinates, Extent, Filter, Nearest, Resample},
    plan::{
        Dispatch,
        emit::{Emitter, Launch, Owner, TensorView},
    },
};

params! {
    width_in, pixels_in, width_out, height_out, blocks, outputs, workgroups, input_offset, input_stride, other_offset, other_stride,
    output_offset, output_stride,
}

kernel!("resample", writes ["output"], twin twin::resample, vector vector::resample);

/// A map of another size.
#[derive(Clone)]
pub struct Problem {
    /// The step's name.
    pub name: String,
    /// Whose table of pixels this is.
    pub owner: Owner,
    /// `[n, c, h, w]`.
    pub input: TensorView,
    /// How pixels of the output come from the input's.
    pub resample: Resample,
    /// Rows and columns that it makes: `[h', w']`, or one of each for all of `other`.
    pub size: [usize; 2],
    /// What the result is multiplied by, `[n, c, h', w']`, in the input's layout.
    pub other: Option<TensorView>,
    /// `[n, c, h', w']`, in the input's layout.
    pub output: TensorView,
}

const INVOCATIONS: u32 = 64;

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem, emit: &mut Emitter<'_>) {
    let Problem { name, owner, input, resample, size, other, output } = problem;
    let ([h_in, w_in], [h_out, w_out]) = (input.size(), output.size());
    let axes = [(0, [h_in, size[0]], h_out), (1, [w_in, size[1]], w_out)];
    let taps = axes.iter().flat_map(|&(axis, sizes, out)| (0..out).flat_map(move |at| tap(resample, axis, sizes, at.min(sizes[1] - 1))));
    let table = emit.table(*owner, KERNEL, taps.collect());
    let outputs = (output.shape.n * output.blocks() * output.shape.pixels()) as u32;
    let workgroups = outputs.div_ceil(INVOCATIONS);
    let params = Params {
        width_in: w_in as u32,
        pixels_in: input.shape.pixels() as u32,
        width_out: w_out as u32,
        height_out: h_out as u32,
        blocks: output.blocks() as u32,
        outputs,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        other_offset: other.as_ref().map_or(0, |other| other.place.offset),
        other_stride: other.as_ref().map_or(0, |other| other.place.stride),
        output_offset: output.place.offset,
        output_stride: output.place.stride,
    };
    let defines = [
        ("WG", INVOCATIONS.into()),
        ("BILINEAR", (resample.filter == Filter::Bilinear).into()),
        ("PRODUCT", other.is_some().into()),
        ("F16", emit.f16().into()),
    ];
    let launch = Launch::new(name, Dispatch::new(KERNEL, &defines, &params, workgroups))
        .reads("input", input)
        .reads_if("other", other.as_ref())
        .constant("table", table)
        .writes("output", output);
    emit.launch(launch);
}

/// The pixels of an axis of `from` that pixel `at` of `to` is made of: the first, the second, the
/// second's weight, and nothing.
///
/// In f64, in which halves of whole numbers are exact: which pixel is nearest to a point in the
/// middle of two is then what ONNX says.
fn tap(resample: &Resample, axis: usize, [from, to]: [usize; 2], at: usize) -> [f32; 4] {
    let x = at as f64;
    // One pixel of the output is so many of the input.
    let [count, of] = match resample.extent {
        Extent::Sizes(_) | Extent::Like => [from as f64, to as f64],
        Extent::Scales(scales) => [1.0, scales[axis].into()],
    };
    let place = match resample.coordinates {
        Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if to == 1 => 0.0,
        Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (x + 0.5) * count / of - 0.5,
        Coordinates::AlignCorners => x * (from - 1) as f64 / (to - 1) as f64,
        Coordinates::Asymmetric => x * count / of,
    };
    let last = (from - 1) as f64;
    let [first, second, weight] = match resample.filter {
        Filter::Bilinear => {
            let place = place.clamp(0.0, last);
            let first = place.floor();
            [first, (first + 1.0).min(last), place - first]
        }
        Filter::Nearest(nearest) => {
            let pixel = match nearest {
                Nearest::RoundPreferFloor => (place - 0.5).ceil(),
                Nearest::RoundPreferCeil => (place + 0.5).floor(),
                Nearest::Floor => place.floor(),
                Nearest::Ceil => place.ceil(),
            };
            let pixel = pixel.clamp(0.0, last);
            [pixel, pixel, 0.0]
        }
    };
    [first as f32, second as f32, weight as f32, 0.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const COORDINATES: [Coordinates; 4] =
        [Coordinates::HalfPixel, Coordinates::PytorchHalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric];
    const NEAREST: [Nearest; 4] = [Nearest::RoundPreferFloor, Nearest::RoundPreferCeil, Nearest::Floor, Nearest::Ceil];

    /// ONNX's formula as a fraction of whole numbers, with `scale = to / from`; 0 / 0 is 0 there.
    fn place(coordinates: Coordinates, [from, to]: [i64; 2], x: i64) -> [i64; 2] {
        match coordinates {
            Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if to == 1 => [0, 1],
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => [(2 * x + 1) * from - to, 2 * to],
            Coordinates::AlignCorners => [x * (from - 1), to - 1],
            Coordinates::Asymmetric => [x * from, to],
        }
    }

    fn taps(coordinates: Coordinates, filter: Filter, [from, to]: [usize; 2]) -> Vec<[f32; 4]> {
        let resample = Resample { coordinates, filter, ..Resample::to([1, to]) };
        (0..to).map(|at| tap(&resample, 1, [from, to], at)).collect()
    }

    #[test]
    fn the_nearest_pixel_is_that_of_the_exact_fraction() {
        for (from, to) in (1..40).flat_map(|from| (1..50).map(move |to| (from, to))) {
            for coordinates in COORDINATES {
                for nearest in NEAREST {
                    let got: Vec<f32> = taps(coordinates, Filter::Nearest(nearest), [from, to]).iter().map(|tap| tap[0]).collect();
                    let [from, to] = [from as i64, to as i64];
                    let wanted = |x| {
                        let [count, of] = place(coordinates, [from, to], x);
                        let pixel = match nearest {
                            Nearest::RoundPreferFloor => -(of - 2 * count).div_euclid(2 * of),
                            Nearest::RoundPreferCeil => (2 * count + of).div_euclid(2 * of),
                            Nearest::Floor => count.div_euclid(of),
                            Nearest::Ceil => -(-count).div_euclid(of),
                        };
                        pixel.clamp(0, from - 1) as f32
                    };
                    let wanted: Vec<f32> = (0..to).map(wanted).collect();
                    assert_eq!(got, wanted, "{from} -> {to}, {coordinates:?}, {nearest:?}");
                }
            }
        }
    }

    #[test]
    fn weights_are_those_of_the_exact_fraction() {
        for (from, to) in (1..40).flat_map(|from| (1..50).map(move |to| (from, to))) {
            for coordinates in COORDINATES {
                for (x, [first, second, weight, _]) in (0..).zip(taps(coordinates, Filter::Bilinear, [from, to])) {
                    let [count, of] = place(coordinates, [from as i64, to as i64], x);
                    let place = (count as f64 / of as f64).clamp(0.0, (from - 1) as f64);
                    let got = f64::from(first) + f64::from(weight) * f64::from(second - first);
                    assert!((got - place).abs() < 1e-6 * from as f64, "{from} -> {to}, {coordinates:?} at {x}: {got}, should be {place}");
                    assert!((0.0..1.0).contains(&weight) && (second - first == 1.0 || weight == 0.0), "{from} -> {to} at {x}");
                }
            }
        }
    }

    /// With a scale that is no fraction of the sizes the scale counts, as in ONNX.
    #[test]
    fn a_scale_is_taken_as_it_is_given() {
        let resample = Resample { coordinates: Coordinates::Asymmetric, filter: Filter::Bilinear, ..Resample::by([1.0, 1.5]) };
        // 5 pixels become 7: at 6 / 1.5 = 4, and not at 6 * 5 / 7 = 4.29, which would be past the
        // last.
        assert_eq!(tap(&resample, 1, [5, 7], 5), [3.0, 4.0, (10.0f64 / 3.0 - 3.0) as f32, 0.0]);
        assert_eq!(tap(&resample, 1, [5, 7], 6)[..3], [4.0, 4.0, 0.0]);
    }
}
