// Writes the sums of block `block + b` of both maps over the tile.
#if SUMS
        let intrinsic_total = subgroupAdd(intrinsic_sum);
        let ghost_total = subgroupAdd(ghost_sum);
        if lane == 0u {
            let to = (n * tiles + tile) * params.blocks_primary * 2u + block + b;
            sums[to] = intrinsic_total;
            sums[to + params.blocks_primary] = ghost_total;
        }
#endif
