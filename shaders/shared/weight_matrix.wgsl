// The weights w{u}_{b}_{j} of one input and one output block as a matrix, a column for each output lane: of a vector times this, SwiftShader makes the four
// products of a lane one after the other, in a register, where four multiply-adds of vectors go to memory and back.
        let m${u}_${b} = mat4x4<f32>(
#for j in 0..4
            vec4<f32>(w${u}_${b}_0[${j}], w${u}_${b}_1[${j}], w${u}_${b}_2[${j}], w${u}_${b}_3[${j}]),
#endfor
        );
