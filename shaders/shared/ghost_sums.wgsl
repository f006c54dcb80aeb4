// Writes the sums of block `block + b` of both maps over the tile.
#if SUMS
#if ROUTE == 1
        // Of the runs of a block.
        var intrinsic_total = intrinsic_sum;
        var ghost_total = ghost_sum;
#for k in 1..LANES
        intrinsic_total += select(vec4<f32>(0.0), subgroupShuffleDown(intrinsic_sum, ${k}u), runs > ${k}u);
        ghost_total += select(vec4<f32>(0.0), subgroupShuffleDown(ghost_sum, ${k}u), runs > ${k}u);
#endfor
        if has & (run == 0u) {
#else
        let intrinsic_total = subgroupAdd(intrinsic_sum);
        let ghost_total = subgroupAdd(ghost_sum);
        if lane == 0u {
#endif
            let to = (n * tiles + tile) * params.blocks_primary * 2u + block + b;
            sums[to] = intrinsic_total;
            sums[to + params.blocks_primary] = ghost_total;
        }
#endif
