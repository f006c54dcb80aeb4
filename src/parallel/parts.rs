//! A tensor's planes, handed out in parts that do not overlap.

use super::Team;
use std::marker::PhantomData;

/// How a buffer of images is cut. An image is `groups` times `planes` planes of `pixels` values. A
/// part has the same run of pixels of the same `tile` planes in each group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Split {
    /// Where the first image starts, and how far apart images are.
    pub offset: usize,
    pub stride: usize,
    pub images: usize,
    pub groups: usize,
    /// From one group to the next.
    pub group: usize,
    pub planes: usize,
    pub pixels: usize,
    /// Planes of a part.
    pub tile: usize,
    /// Pixels of a part.
    pub run: usize,
}

impl Split {
    /// Cuts pixels too, into runs of whole `rows`, where there are too few tiles for the threads.
    pub(crate) fn shared_by(self, team: Team, row: usize) -> Self {
        let (tiles, threads) = (self.images * self.planes.div_ceil(self.tile), team.threads());
        // The last round of tiles leaves threads idle: a tenth of the time is too much.
        let idle = tiles.next_multiple_of(threads) - tiles;
        let runs = if 10 * idle <= tiles { 1 } else { (3 * threads).div_ceil(tiles).max(2) };
        let run = self.pixels.div_ceil(runs).next_multiple_of(row);
        Self { run, ..self }
    }

    /// Hands the parts to the threads.
    pub(crate) fn each<T: Send>(self, team: Team, buffer: &mut [T], work: impl Fn(Part<'_, T>) + Sync) {
        let Self { offset, stride, images, groups, group, planes, pixels, tile, run } = self;
        let (tiles, runs) = (planes.div_ceil(tile), pixels.div_ceil(run));
        let image_len = (groups - 1) * group + planes * pixels;
        assert!(images == 0 || offset + (images - 1) * stride + image_len <= buffer.len(), "{self:?} in {} values", buffer.len());
        assert!(images <= 1 || image_len <= stride, "images overlap: {self:?}");
        assert!(groups == 1 || planes * pixels <= group, "groups overlap: {self:?}");
        let start = Start(buffer.as_mut_ptr());
        team.each(images * tiles * runs, |at| {
            let (image, tile_at, run_at) = (at / runs / tiles, at / runs % tiles, at % runs);
            let (plane, first) = (tile_at * tile, run_at * run);
            work(Part {
                image,
                plane,
                planes: tile.min(planes - plane),
                first,
                pixels: run.min(pixels - first),
                split: self,
                // SAFETY: within the buffer, as asserted above.
                start: unsafe { start.get().add(offset + image * stride + plane * pixels + first) },
                lives: PhantomData,
            });
        });
    }
}

struct Start<T>(*mut T);

// SAFETY: parts of it go to other threads, no two of which overlap; `each` returns after the last.
unsafe impl<T: Send> Sync for Start<T> {}

impl<T> Start<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

/// The same run of pixels of a few planes, in each group of planes of one image.
pub(crate) struct Part<'a, T> {
    /// The image.
    pub image: usize,
    /// The first plane of a group.
    pub plane: usize,
    /// How many planes of a group.
    pub planes: usize,
    /// The first pixel.
    pub first: usize,
    /// How many pixels.
    pub pixels: usize,
    split: Split,
    start: *mut T,
    lives: PhantomData<&'a mut [T]>,
}

impl<T> Part<'_, T> {
    /// How many groups of planes.
    pub(crate) fn groups(&self) -> usize {
        self.split.groups
    }

    /// The run of pixels in one plane.
    pub(crate) fn plane(&mut self, group: usize, plane: usize) -> &mut [T] {
        assert!(group < self.split.groups && plane < self.planes);
        // SAFETY: this part alone has these values, and it is borrowed for as long as they are.
        unsafe { std::slice::from_raw_parts_mut(self.at(group, plane), self.pixels) }
    }

    /// The run of pixels in the same plane of the first group and of another.
    pub(crate) fn pair(&mut self, group: usize, plane: usize) -> [&mut [T]; 2] {
        assert!(group > 0 && group < self.split.groups && plane < self.planes);
        // SAFETY: as in `plane`, and two groups' planes do not overlap.
        unsafe { [0, group].map(|group| std::slice::from_raw_parts_mut(self.at(group, plane), self.pixels)) }
    }

    /// Some of its pixels in up to four planes of the first group; slices of planes that it has not
    /// are empty.
    pub(crate) fn quad(&mut self, pixels: std::ops::Range<usize>) -> [&mut [T]; 4] {
        assert!(pixels.start <= pixels.end && pixels.end <= self.pixels && self.planes <= 4);
        std::array::from_fn(|plane| {
            let (plane, len) = if plane < self.planes { (plane, pixels.len()) } else { (0, 0) };
            // SAFETY: as in `plane`, and two planes do not overlap.
            unsafe { std::slice::from_raw_parts_mut(self.at(0, plane).add(pixels.start), len) }
        })
    }

    /// All its pixels, as [`Part::quad`], in the first group and in the second.
    pub(crate) fn quads(&mut self) -> [[&mut [T]; 4]; 2] {
        assert!(self.split.groups > 1 && self.planes <= 4);
        [0, 1].map(|group| {
            std::array::from_fn(|plane| {
                let (plane, len) = if plane < self.planes { (plane, self.pixels) } else { (0, 0) };
                // SAFETY: as in `quad` and `pair`.
                unsafe { std::slice::from_raw_parts_mut(self.at(group, plane), len) }
            })
        })
    }

    fn at(&self, group: usize, plane: usize) -> *mut T {
        // SAFETY: `Split::each` asserted that all groups' planes are within the buffer.
        unsafe { self.start.add(group * self.split.group + plane * self.split.pixels) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_values_once() {
        for (images, groups, planes, pixels, tile, run) in [(2, 1, 5, 7, 4, 7), (3, 2, 5, 7, 2, 3), (1, 3, 1, 1, 4, 1), (2, 2, 8, 12, 4, 5)]
        {
            let (offset, stride) = (3, groups * planes * pixels + 2);
            let mut buffer = vec![0u32; offset + images * stride];
            let split = Split { offset, stride, images, groups, group: planes * pixels, planes, pixels, tile, run };
            split.each(Team::all(), &mut buffer, |mut part| {
                for plane in 0..part.planes {
                    for group in 0..groups {
                        let number = ((part.image * groups + group) * planes + part.plane + plane) * pixels + part.first;
                        part.plane(group, plane).iter_mut().zip(1..).for_each(|(value, at)| *value += number as u32 + at);
                    }
                }
                let planes = part.planes;
                let quad = part.quad(0..1).map(|plane| plane.len());
                assert_eq!(quad, std::array::from_fn(|plane| usize::from(plane < planes)));
            });
            let len = groups * planes * pixels;
            for (at, value) in buffer.iter().enumerate() {
                let (image, inside) = (at.wrapping_sub(offset) / stride, at.wrapping_sub(offset) % stride);
                let wanted = if at >= offset && inside < len { image * len + inside + 1 } else { 0 };
                assert_eq!(*value as usize, wanted, "{split:?}");
            }
        }
    }
}
