// The sums of block b of BLOCKS, which is known at run time only: value{p}, of a{p}_{b}. By them one store serves all blocks; drivers that run on the
// CPU take long for every store that they compile.
#for p in 0..PIXELS
        var value${p} = a${p}_0;
#for b in 1..BLOCKS
        value${p} = select(value${p}, a${p}_${b}, b == ${b}u);
#endfor
#endfor
