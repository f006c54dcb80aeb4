//! Devices that a program opens for itself, and textures on them.

use ghostnet::{image::DynamicImage, wgpu};

/// Two devices as a program would open them; `None` where tests leave GPUs out.
pub fn devices(limits: wgpu::Limits) -> Option<[(wgpu::Device, wgpu::Queue); 2]> {
    // Whether there are adapters at all, the tests' common part says.
    super::gpu()?;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let options = wgpu::RequestAdapterOptions::default();
    let adapter = pollster::block_on(instance.request_adapter(&options)).expect("there is one");
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    Some([0, 1].map(|_| pollster::block_on(adapter.request_device(&descriptor)).expect("it opens")))
}

/// An image as a texture of a format.
pub fn texture(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    image: &DynamicImage,
    format: wgpu::TextureFormat,
    usage: wgpu::TextureUsages,
) -> wgpu::Texture {
    let mut pixels = image.to_rgba8();
    if matches!(format, wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Bgra8UnormSrgb) {
        pixels.pixels_mut().for_each(|pixel| pixel.0.swap(0, 2));
    }
    let size = wgpu::Extent3d { width: pixels.width(), height: pixels.height(), depth_or_array_layers: 1 };
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: usage | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    if format.block_copy_size(None) == Some(4) {
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * size.width), rows_per_image: None };
        queue.write_texture(texture.as_image_copy(), &pixels, layout, size);
    }
    texture
}
