//! What of a device's limits matters, and what is asked of an adapter.

/// A limit as WebGPU names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its name in WebGPU's snake case.
    pub name: &'static str,
    /// What the adapter could grant.
    pub adapter: u64,
    /// What the open device has.
    pub device: u64,
}

/// A limit's name in WebGPU's snake case, and its value.
pub(super) type Bound = (&'static str, fn(&wgpu::Limits) -> u64);

/// The limits that compute shaders need: kernels are made for WebGPU's defaults of these.
pub(super) const COMPUTE: [Bound; 12] = [
    ("max_buffer_size", |l| l.max_buffer_size),
    ("max_storage_buffer_binding_size", |l| l.max_storage_buffer_binding_size),
    ("max_storage_buffers_per_shader_stage", |l| l.max_storage_buffers_per_shader_stage.into()),
    ("max_bindings_per_bind_group", |l| l.max_bindings_per_bind_group.into()),
    ("max_compute_workgroup_storage_size", |l| l.max_compute_workgroup_storage_size.into()),
    ("max_compute_invocations_per_workgroup", |l| l.max_compute_invocations_per_workgroup.into()),
    ("max_compute_workgroup_size_x", |l| l.max_compute_workgroup_size_x.into()),
    ("max_compute_workgroup_size_y", |l| l.max_compute_workgroup_size_y.into()),
    ("max_compute_workgroup_size_z", |l| l.max_compute_workgroup_size_z.into()),
    ("max_compute_workgroups_per_dimension", |l| l.max_compute_workgroups_per_dimension.into()),
    ("min_uniform_buffer_offset_alignment", |l| l.min_uniform_buffer_offset_alignment.into()),
    ("min_storage_buffer_offset_alignment", |l| l.min_storage_buffer_offset_alignment.into()),
];

/// A limit in which an adapter falls short.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lack {
    limit: &'static str,
    needed: u64,
    has: u64,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "its {} is {}, {} is needed", self.limit, self.has, self.needed)
    }
}

/// What is asked of an adapter that `has` these limits: WebGPU's default limits, with larger
/// buffers where the adapter has them, unless `default_limits`.
///
/// Textures and what rendering needs may be less than the default, since some GPUs that compute
/// well have less (a Raspberry Pi's).
pub(super) fn requested(has: &wgpu::Limits, default_limits: bool) -> Result<wgpu::Limits, Lack> {
    let default = wgpu::Limits::default();
    let limits = default.clone().or_worse_values_from(has);
    if let Some((limit, of)) = COMPUTE.into_iter().find(|(_, of)| of(&limits) != of(&default)) {
        return Err(Lack { limit, needed: of(&default), has: of(has) });
    }
    if default_limits {
        return Ok(limits);
    }
    Ok(wgpu::Limits {
        max_buffer_size: has.max_buffer_size,
        max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
        ..limits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default() -> wgpu::Limits {
        wgpu::Limits::default()
    }

    /// A large GPU: more than WebGPU's defaults in what the test looks at.
    fn large() -> wgpu::Limits {
        wgpu::Limits {
            max_texture_dimension_2d: 32768,
            max_buffer_size: 1 << 40,
            max_storage_buffer_binding_size: 1 << 31,
            max_storage_buffers_per_shader_stage: 1 << 20,
            max_compute_workgroup_storage_size: 49152,
            max_compute_invocations_per_workgroup: 1024,
            max_compute_workgroup_size_x: 1024,
            min_storage_buffer_offset_alignment: 16,
            ..default()
        }
    }

    /// A Raspberry Pi's V3D by Mesa's driver (`v3d_limits.h`, `v3dv_limits.h`, `v3dv_device.c`), as
    /// wgpu's Vulkan backend reads them.
    fn raspberry_pi(color_attachments: u32) -> wgpu::Limits {
        wgpu::Limits {
            max_texture_dimension_1d: 4096,
            max_texture_dimension_2d: 4096,
            max_texture_dimension_3d: 4096,
            max_texture_array_layers: 2048,
            max_storage_buffers_per_shader_stage: 8,
            max_storage_textures_per_shader_stage: 4,
            max_sampled_textures_per_shader_stage: 16,
            max_uniform_buffer_binding_size: 1 << 30,
            max_storage_buffer_binding_size: 1 << 30,
            max_buffer_size: 1 << 30,
            max_inter_stage_shader_variables: 15,
            max_color_attachments: color_attachments,
            max_compute_workgroup_storage_size: 16384,
            max_compute_invocations_per_workgroup: 256,
            max_compute_workgroup_size_z: 256,
            min_uniform_buffer_offset_alignment: 32,
            min_storage_buffer_offset_alignment: 32,
            ..default()
        }
    }

    #[test]
    fn what_is_asked_of_an_adapter_is_what_it_has() {
        let adapters = [("default", default()), ("large", large()), ("Pi 4", raspberry_pi(4)), ("Pi 5", raspberry_pi(8))];
        for (name, has) in &adapters {
            for default_limits in [true, false] {
                let limits = requested(has, default_limits).unwrap();
                // What wgpu would refuse.
                limits.check_limits_with_fail_fn(has, false, |limit, asked, has| panic!("{name}: {limit} {asked}, it has {has}"));
                for (limit, of) in COMPUTE {
                    let is_buffer = limit == "max_buffer_size" || limit == "max_storage_buffer_binding_size";
                    let source = if is_buffer && !default_limits { has } else { &default() };
                    assert_eq!(of(&limits), of(source), "{name}: {limit}");
                }
            }
        }
        let of = |has| requested(&has, true).unwrap();
        assert_eq!([of(default()), of(large())], [default(), default()]);
        let pi = of(raspberry_pi(4));
        assert_eq!((pi.max_texture_dimension_2d, pi.max_texture_dimension_3d, pi.max_color_attachments), (4096, 2048, 4));
    }

    #[test]
    fn what_compute_needs_and_an_adapter_lacks_is_named_with_both_numbers() {
        let lack = |limit, needed, has| Err(Lack { limit, needed, has });
        // OpenGL ES 3.1.
        let old = wgpu::Limits::downlevel_defaults();
        assert_eq!(requested(&old, true), lack("max_storage_buffers_per_shader_stage", 8, 4));
        let cases = [
            (wgpu::Limits { max_compute_workgroup_storage_size: 16352, ..large() }, "max_compute_workgroup_storage_size", 16384, 16352),
            (wgpu::Limits { max_compute_invocations_per_workgroup: 128, ..large() }, "max_compute_invocations_per_workgroup", 256, 128),
            (wgpu::Limits { max_compute_workgroup_size_y: 64, ..large() }, "max_compute_workgroup_size_y", 256, 64),
            (wgpu::Limits { max_buffer_size: 1 << 27, ..large() }, "max_buffer_size", 1 << 28, 1 << 27),
            // Here less is better.
            (wgpu::Limits { min_uniform_buffer_offset_alignment: 512, ..large() }, "min_uniform_buffer_offset_alignment", 256, 512),
        ];
        for (has, limit, needed, limited) in cases {
            for default_limits in [true, false] {
                assert_eq!(requested(&has, default_limits), lack(limit, needed, limited));
            }
        }
        let text = requested(&old, true).unwrap_err().to_string();
        assert_eq!(text, "its max_storage_buffers_per_shader_stage is 4, 8 is needed");
    }
}
