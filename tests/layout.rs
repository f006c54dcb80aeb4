//! Host and shader agree on every kernel's parameters: the same names in the same order at the same
//! offsets.

mod common;

use common::{
    around::{self, Launch},
    net::{self, CLASSES},
};
use ghostnet::{
    Precision,
    device::Choice,
    kernels,
    plan::{Form, Kernel, PipelineKey},
};
use naga::{TypeInner, proc::Layouter};
use std::collections::{BTreeMap, BTreeSet};

/// One shader of each kernel and set of switches (tiles and kernel sizes aside), with the length of
/// the bytes that plans give it.
fn shaders() -> BTreeMap<PipelineKey, BTreeSet<usize>> {
    let mut shaders: BTreeMap<PipelineKey, BTreeSet<usize>> = BTreeMap::new();
    let shape = net::SHAPES[3];
    let every = net::every_operation(shape.c);
    let (network, size) = net::networks().swap_remove(3);
    let classify = network.graph().clone();
    let plans = net::plans(&every, shape, &Form::Tensors).chain(net::plans(&classify, size, &Form::Classify { k: 5 }));
    let halves = CLASSES.map(|class| net::plan(&every, shape, class, net::Fusing::All, Form::Tensors, Precision::F16));
    let alone = CLASSES.into_iter().flat_map(|class| net::cases(Choice::new(class), Precision::F32)).map(|case| case.plan);
    for step in plans.chain(halves).chain(alone).flat_map(|plan| plan.steps) {
        shaders.entry(step.dispatch.key).or_default().insert(step.dispatch.params.len());
    }
    for Launch { dispatch, .. } in around::launches() {
        shaders.entry(dispatch.key).or_default().insert(dispatch.params.len());
    }
    shaders
}

#[test]
fn params_are_the_shaders_struct() {
    let shaders = shaders();
    let used: BTreeSet<Kernel> = shaders.keys().map(|key| key.kernel).collect();
    assert_eq!(used.len(), kernels::ALL.len(), "only {used:?}");
    for (key, lengths) in shaders {
        let name = key.file_name();
        let module = naga::front::wgsl::parse_str(&key.source()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let (_, params) = module.global_variables.iter().find(|(_, v)| v.space == naga::AddressSpace::Uniform).expect("a uniform");
        let ty = &module.types[params.ty];
        assert_eq!(ty.name.as_deref(), Some("Params"), "{name}");
        let TypeInner::Struct { members, span } = &ty.inner else { panic!("{name}: Params is no struct") };
        let in_shader: Vec<(&str, u32)> = members.iter().map(|m| (m.name.as_deref().unwrap(), m.offset)).collect();
        let on_host: Vec<(&str, u32)> = key.kernel.params().iter().zip((0..).step_by(4)).map(|(field, at)| (*field, at)).collect();
        assert_eq!(in_shader, on_host, "{name}");
        for member in members {
            let scalar = matches!(module.types[member.ty].inner, TypeInner::Scalar(scalar) if scalar == naga::Scalar::U32);
            assert!(scalar && layouter[member.ty].size == 4, "{name}: {:?} is no u32", member.name);
        }
        let bytes = 4 * on_host.len();
        assert_eq!((*span as usize, layouter[params.ty].size as usize), (bytes, bytes), "{name}");
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [bytes], "{name}: bytes that plans give");
    }
}
