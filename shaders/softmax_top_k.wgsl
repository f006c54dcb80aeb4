// softmax_top_k: the K most probable classes of each image, so that a run reads back a few bytes.
//
//   probability[c] = exp(logit[c] - max) / sum over classes of exp(logit - max)
//
// input: logits [n][block], class c in lane c.
// output: [n][k] pairs (class, bits of its f32 probability), best first; equal logits in order of
//     class.
// One workgroup: one image. Each of the k rounds finds the best class after the one before it.
// Workgroup memory: WG * 8 bytes.
#import dtype
#import grid

struct Params {
    classes: u32,
    k: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(4) var<storage, read_write> output: array<vec2<u32>>;

const WG = ${WG}u;
const LOWEST = -3.4028234e38;
var<workgroup> values: array<f32, ${WG}>;
var<workgroup> classes: array<u32, ${WG}>;

fn logit(base: u32, category: u32) -> f32 {
    let v = unpack(input[base + category / 4u]);
    let low = select(v.x, v.y, (category & 1u) != 0u);
    let high = select(v.z, v.w, (category & 1u) != 0u);
    return select(low, high, (category & 2u) != 0u);
}

@compute @workgroup_size(${WG})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = workgroup_index(group, groups);
    if n >= params.workgroups {
        return;
    }
    let base = params.input_offset + n * params.input_stride;
    var last_value = 3.4028234e38;
    var last_class = 0u;
    var highest = 0.0;
    var total = 1.0;
    for (var round = 0u; round < params.k; round++) {
        var value = LOWEST;
        var category = 0xffffffffu;
        for (var c = lane; c < params.classes; c += WG) {
            let v = logit(base, c);
            let after = round == 0u || v < last_value || (v == last_value && c > last_class);
            if after && (v > value || category == 0xffffffffu) {
                value = v;
                category = c;
            }
        }
        values[lane] = value;
        classes[lane] = category;
        for (var half = WG / 2u; half > 0u; half >>= 1u) {
            workgroupBarrier();
            if lane < half {
                let other = classes[lane + half];
                let other_value = values[lane + half];
                // 0xffffffff, none left, loses against every class.
                if other != 0xffffffffu && (classes[lane] == 0xffffffffu || other_value > values[lane] || (other_value == values[lane] && other < classes[lane])) {
                    values[lane] = other_value;
                    classes[lane] = other;
                }
            }
        }
        last_value = workgroupUniformLoad(&values[0]);
        last_class = workgroupUniformLoad(&classes[0]);
        if round == 0u {
            // The best logit is the maximum that softmax subtracts; add up the exponentials once.
            highest = last_value;
            var sum = 0.0;
            for (var c = lane; c < params.classes; c += WG) {
                sum += exp(logit(base, c) - highest);
            }
            workgroupBarrier();
            values[lane] = sum;
            for (var half = WG / 2u; half > 0u; half >>= 1u) {
                workgroupBarrier();
                if lane < half {
                    values[lane] += values[lane + half];
                }
            }
            total = workgroupUniformLoad(&values[0]);
        }
        if lane == 0u {
            output[n * params.k + round] = vec2<u32>(last_class, bitcast<u32>(exp(last_value - highest) / total));
        }
    }
}
