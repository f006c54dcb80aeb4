// decode: the candidates of a detector above a threshold, each with its score, its box and its
// points, by a card.
//
//   score = activation(classes[class]), or with OBJECTNESS its power times objectness' power
//   FORM 0, distances: x1 = cx - d0, y1 = cy - d1, x2 = cx + d2, y2 = cy + d3, where
//       d = stride * the mean of 0, 1, ... with the softmax of `bins` values
//   FORM 1, center: the middle is c + f(v01) * center_scale * size, the sides
//       g(min(v23 * size_scale, most)) times size or the input's sides; f by TANH, g by SIZE: exp,
//       as it is, sigmoid
//   FORM 2, corners: v times the sides
//   points: c + v * point_scale * size
//
// classes, objectness, boxes, points: results of the network, by blocks of four channels.
// table: from `tables` on, for each of the four the eight words that row_of reads; and where in its
//     result each channel begins, in values.
// priors: for each candidate cx, cy, width, height, stride.
// records: how many were found, the threshold, then for each `record` words: candidate, class,
//     score, x1, y1, x2, y2 and its points, in no order. Those beyond `capacity` are only counted.
// One invocation: a candidate, whose best class alone counts, or with EACH every one.
// Workgroup memory: none.
#import dtype
#import grid

struct Params {
    rows: u32,
    workgroups: u32,
    first: u32,
    capacity: u32,
    record: u32,
    columns: u32,
    skipped: u32,
    bins: u32,
    values: u32,
    clip: u32,
    class_power: u32,
    object_power: u32,
    side_x: u32,
    side_y: u32,
    center_scale: u32,
    size_scale: u32,
    most: u32,
    point_scale: u32,
    tables: u32,
}

// Value j of row r = row + first is number start + (r % per) * part + (r / per) * step + j * column
// of a result in memory, row-major, whose channels have so many pixels and begin at `channels`.
struct Row {
    number: u32,
    column: u32,
    pixels: u32,
    channels: u32,
}

struct Records {
    found: atomic<u32>,
    threshold: f32,
    unused_0: u32,
    unused_1: u32,
    words: array<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> classes: array<Stored>;
#if OBJECTNESS
@group(0) @binding(2) var<storage, read> objectness: array<Stored>;
#endif
@group(0) @binding(3) var<storage, read> boxes: array<Stored>;
#if POINTS
@group(0) @binding(4) var<storage, read> points: array<Stored>;
#endif
@group(0) @binding(5) var<storage, read> table: array<u32>;
#if PRIORS
@group(0) @binding(6) var<storage, read> priors: array<f32>;
#endif
@group(0) @binding(7) var<storage, read_write> records: Records;

const WG = ${WG}u;
const LOWEST = -3.4028234e38;

// The value of a block at a place, which counts values.
fn value(block: Stored, place: u32) -> f32 {
    let v = unpack(block);
    let low = select(v.x, v.y, (place & 1u) != 0u);
    let high = select(v.z, v.w, (place & 1u) != 0u);
    return select(low, high, (place & 2u) != 0u);
}

fn row_of(kind: u32, row: u32) -> Row {
    let at = params.tables + kind * 8u;
    let r = row + table[at];
    let per = table[at + 1u];
    let number = table[at + 2u] + r % per * table[at + 3u] + r / per * table[at + 4u];
    return Row(number, table[at + 5u], table[at + 6u], table[at + 7u]);
}

fn place(row: Row, j: u32) -> u32 {
    let number = row.number + j * row.column;
    return table[row.channels + number / row.pixels] + number % row.pixels * 4u;
}

fn class_value(row: Row, j: u32) -> f32 {
    let at = place(row, j);
    return value(classes[at / 4u], at);
}

fn box_value(row: Row, j: u32) -> f32 {
    let at = place(row, j);
    return value(boxes[at / 4u], at);
}

// 1 / (1 + e^-v), which no value makes overflow.
fn sigmoid(v: f32) -> f32 {
    let e = exp(-abs(v));
    return select(1.0, e, v < 0.0) / (1.0 + e);
}

fn power(v: f32, by: f32) -> f32 {
    if by == 1.0 || by == 0.0 {
        return select(1.0, v, by == 1.0);
    }
    return pow(max(v, 0.0), by);
}

// The softmax's largest value and its sum, where there is one.
fn shares(row: Row) -> vec2<f32> {
    var highest = LOWEST;
    var sum = 0.0;
#if ACTIVATION == 2
    for (var c = 0u; c < params.columns; c++) {
        highest = max(highest, class_value(row, c));
    }
    for (var c = 0u; c < params.columns; c++) {
        sum += exp(class_value(row, c) - highest);
    }
#endif
    return vec2<f32>(highest, sum);
}

fn activated(v: f32, soft: vec2<f32>) -> f32 {
#if ACTIVATION == 0
    return v;
#endif
#if ACTIVATION == 1
    let clip = bitcast<f32>(params.clip);
    return sigmoid(clamp(v, -clip, clip));
#endif
#if ACTIVATION == 2
    return exp(v - soft.x) / soft.y;
#endif
}

fn score(number: u32, of_class: f32) -> f32 {
#if OBJECTNESS
    let at = place(row_of(1u, number), 0u);
    let object = value(objectness[at / 4u], at);
    return power(of_class, bitcast<f32>(params.class_power)) * power(object, bitcast<f32>(params.object_power));
#else
    return of_class;
#endif
}

#if FORM == 0
// How far a side is from the middle, in strides.
fn distance_of(row: Row, side: u32) -> f32 {
    let first = side * params.bins;
    if params.bins == 1u {
        return box_value(row, first);
    }
    var highest = LOWEST;
    for (var bin = 0u; bin < params.bins; bin++) {
        highest = max(highest, box_value(row, first + bin));
    }
    var sum = 0.0;
    var weighted = 0.0;
    for (var bin = 0u; bin < params.bins; bin++) {
        let e = exp(box_value(row, first + bin) - highest);
        sum += e;
        weighted += e * f32(bin);
    }
    return weighted / sum;
}
#endif

#if PRIORS
// Middle and size.
fn prior(candidate: u32) -> vec4<f32> {
    let at = candidate * 5u;
    return vec4<f32>(priors[at], priors[at + 1u], priors[at + 2u], priors[at + 3u]);
}
#endif

fn corners(number: u32) -> vec4<f32> {
    let row = row_of(2u, number);
    let sides = vec2<f32>(bitcast<f32>(params.side_x), bitcast<f32>(params.side_y));
#if FORM == 0
    let anchor = prior(params.first + number);
    let stride = priors[(params.first + number) * 5u + 4u];
    let distances = vec4<f32>(distance_of(row, 0u), distance_of(row, 1u), distance_of(row, 2u), distance_of(row, 3u)) * stride;
    return vec4<f32>(anchor.xy - distances.xy, anchor.xy + distances.zw);
#else
    let v = vec4<f32>(box_value(row, 0u), box_value(row, 1u), box_value(row, 2u), box_value(row, 3u));
#if FORM == 1
    let anchor = prior(params.first + number);
#if TANH
    // Some drivers' tanh is made of exponentials that overflow.
    let moved = tanh(clamp(v.xy, vec2<f32>(-16.0), vec2<f32>(16.0)));
#else
    let moved = v.xy;
#endif
    let middle = anchor.xy + moved * bitcast<f32>(params.center_scale) * anchor.zw;
    let scaled = min(v.zw * bitcast<f32>(params.size_scale), vec2<f32>(bitcast<f32>(params.most)));
#if SIZE == 0
    let share = exp(scaled);
#endif
#if SIZE == 1
    let share = scaled;
#endif
#if SIZE == 2
    let share = vec2<f32>(sigmoid(scaled.x), sigmoid(scaled.y));
#endif
#if OF_INPUT
    let half = share * sides / 2.0;
#else
    let half = share * anchor.zw / 2.0;
#endif
    return vec4<f32>(middle - half, middle + half);
#else
    return v * sides.xyxy;
#endif
#endif
}

// Leaves a record of a candidate, if there is room.
fn keep(number: u32, category: u32, of_class: f32) {
    let found = atomicAdd(&records.found, 1u);
    if found >= params.capacity {
        return;
    }
    let at = found * params.record;
    let sides = corners(number);
    records.words[at] = params.first + number;
    records.words[at + 1u] = category - params.skipped;
    records.words[at + 2u] = bitcast<u32>(of_class);
#for side in 0..4
    records.words[at + ${3 + side}u] = bitcast<u32>(sides[${side}]);
#endfor
#if POINTS
    let row = row_of(3u, number);
    let anchor = prior(params.first + number);
    let scale = bitcast<f32>(params.point_scale);
    for (var j = 0u; j < params.values; j++) {
        let source = place(row, j);
        let axis = j & 1u;
        let moved = value(points[source / 4u], source) * scale * select(anchor.z, anchor.w, axis == 1u);
        records.words[at + 7u + j] = bitcast<u32>(select(anchor.x, anchor.y, axis == 1u) + moved);
    }
#endif
}

@compute @workgroup_size(${WG})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(group, groups) * WG + lane;
    if number >= params.rows {
        return;
    }
    let row = row_of(0u, number);
    let soft = shares(row);
#if EACH
    for (var c = params.skipped; c < params.columns; c++) {
        let s = score(number, activated(class_value(row, c), soft));
        if s > records.threshold {
            keep(number, c, s);
        }
    }
#else
    var best = LOWEST;
    var category = params.skipped;
    for (var c = params.skipped; c < params.columns; c++) {
        let s = activated(class_value(row, c), soft);
        if s > best {
            best = s;
            category = c;
        }
    }
    let s = score(number, best);
    if s > records.threshold {
        keep(number, category, s);
    }
#endif
}
