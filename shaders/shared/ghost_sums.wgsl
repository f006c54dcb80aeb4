// Writes the sums of block `block + b` of both maps over the tile.
#if SUMS
#if ROUTE == 1
        // Of the runs of a block.
        var intrinsic_total = intrinsic_sum;
        var ghost_total = ghost_sum;
        for (var k = 1u; k < opaque(runs, group); k++) {
            intrinsic_total += subgroupShuffleDown(intrinsic_sum, k);
            ghost_total += subgroupShuffleDown(ghost_sum, k);
        }
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
