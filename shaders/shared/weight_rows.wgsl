// The UNROLL * BLOCKS * 4 rows of weights of turn `turn`, where LANES invocations are a subgroup: a row by each, which then hands it to all. Row k is
// in rows{k / LANES} of invocation k % LANES.
#if LANES
#for k in 0..(UNROLL * BLOCKS * 4 + LANES - 1) / LANES
#if k * LANES + LANES <= UNROLL * BLOCKS * 4
        let rows${k} = unpack(weight_at(turn * ${UNROLL * BLOCKS * 4}u + ${k * LANES}u + lane));
#else
        let rows${k} = unpack(weight_at(turn * ${UNROLL * BLOCKS * 4}u + min(${k * LANES}u + lane, ${UNROLL * BLOCKS * 4 - 1}u)));
#endif
#endfor
#endif
