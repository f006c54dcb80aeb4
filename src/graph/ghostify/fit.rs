//! Which filters of a convolution stay, and what multiples of them the others become. It takes no
//! data: the filters decide.

/// The filters of a convolution before it becomes a ghost module.
pub(super) struct Filters<'a> {
    /// One filter after the other, before the normalisation.
    pub data: &'a [f32],
    /// What the normalisation multiplies each channel by.
    pub scale: Vec<f64>,
    /// Ghosts may be negative multiples.
    pub is_signed: bool,
}

/// A pair of channels: the products of their filters.
struct Products {
    with_itself: f64,
    with_other: f64,
}

impl Filters<'_> {
    fn filter(&self, channel: usize) -> &[f32] {
        let len = self.data.len() / self.scale.len();
        &self.data[channel * len..][..len]
    }

    /// Its filter's sum of squares, normalised.
    fn energy(&self, channel: usize) -> f64 {
        self.scale[channel].powi(2) * product(self.filter(channel), self.filter(channel))
    }

    /// What the normalised filter `from` is multiplied by to be nearest to the filter `to` before
    /// its normalisation.
    pub fn factor(&self, from: usize, to: usize) -> f64 {
        let [from_filter, to_filter] = [from, to].map(|channel| self.filter(channel));
        let products = Products { with_itself: product(from_filter, from_filter), with_other: product(from_filter, to_filter) };
        self.factor_of(from, to, &products)
    }

    fn factor_of(&self, from: usize, to: usize, products: &Products) -> f64 {
        let divisor = self.scale[from] * products.with_itself;
        if divisor == 0.0 || (!self.is_signed && products.with_other * self.scale[from] * self.scale[to] < 0.0) {
            return 0.0;
        }
        products.with_other / divisor
    }

    /// Of the energy of `to` what is left where it becomes a multiple of `from`.
    fn left(&self, from: usize, to: usize, products: &Products, energy: f64) -> f64 {
        let factor = self.factor_of(from, to, products) * self.scale[to] * self.scale[from];
        (energy - factor * factor * products.with_itself).max(0.0)
    }

    /// The relative L2 error of all normalised filters where the first `kept` stay, and each of
    /// the others is a multiple of the one that `source` names.
    pub fn error(&self, kept: usize, source: impl Fn(usize) -> usize) -> f64 {
        let energies: Vec<f64> = (0..self.scale.len()).map(|channel| self.energy(channel)).collect();
        let lost = |to: usize| {
            let from = source(to);
            let [from_filter, to_filter] = [from, to].map(|channel| self.filter(channel));
            let products = Products { with_itself: product(from_filter, from_filter), with_other: product(from_filter, to_filter) };
            self.left(from, to, &products, energies[to])
        };
        let (lost, all) = ((kept..energies.len()).map(lost).sum::<f64>(), energies.iter().sum::<f64>());
        if all > 0.0 { (lost / all).sqrt() } else { 0.0 }
    }

    /// Adds to `costs`, `[from][to]`, which share of the energy is lost where `to` becomes a
    /// multiple of `from`.
    fn add_costs(&self, costs: &mut [f64]) {
        let c = self.scale.len();
        let mut products = vec![0.0; c * c];
        for a in 0..c {
            for b in 0..=a {
                let product = product(self.filter(a), self.filter(b));
                (products[a * c + b], products[b * c + a]) = (product, product);
            }
        }
        let energies: Vec<f64> = (0..c).map(|at| self.scale[at].powi(2) * products[at * c + at]).collect();
        let all = energies.iter().sum::<f64>();
        for (from, to) in (0..c * c).map(|at| (at / c, at % c)).filter(|_| all > 0.0) {
            let pair = Products { with_itself: products[from * c + from], with_other: products[from * c + to] };
            costs[from * c + to] += self.left(from, to, &pair, energies[to]) / all;
        }
    }
}

/// In f64, in eight sums that the compiler vectorises.
fn product(a: &[f32], b: &[f32]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for at in 0..8 {
            sums[at] += f64::from(a[at]) * f64::from(b[at]);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    sums.iter().sum::<f64>() + rest
}

/// An order of the channels of `layers`, which are as many in each, by which ghost modules of this
/// ratio lose little: `order[place]` is the channel that comes to a place.
///
/// Every channel is a module at first. Of all pairs of modules that may become one, that is taken
/// again and again of which the one's intrinsic map loses the least as a ghost of the other's.
pub(super) fn order(layers: &[Filters<'_>], ratio: usize) -> Vec<usize> {
    let c = layers.first().map_or(0, |layer| layer.scale.len());
    let mut costs = vec![0.0; c * c];
    layers.iter().for_each(|layer| layer.add_costs(&mut costs));
    let mut pairs: Vec<(f64, u32)> = costs.iter().copied().zip(0..).collect();
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));

    let kept = c.div_ceil(ratio);
    // The intrinsic map and its ghosts; nothing of what became a ghost.
    let mut modules: Vec<(usize, Vec<usize>)> = (0..c).map(|at| (at, Vec::new())).collect();
    let mut is_ghost = vec![false; c];
    let mut count = c;
    for (_, pair) in pairs {
        let (from, to) = (pair as usize / c, pair as usize % c);
        let fits = from != to && !is_ghost[from] && !is_ghost[to] && modules[from].1.len() + modules[to].1.len() + 2 <= ratio;
        if count > kept && fits {
            let ghosts = std::mem::take(&mut modules[to].1);
            modules[from].1.extend(ghosts.into_iter().chain([to]));
            (is_ghost[to], count) = (true, count - 1);
        }
    }
    modules.retain(|(from, _)| !is_ghost[*from]);
    modules.sort_by_key(|(from, ghosts)| (std::cmp::Reverse(ghosts.len()), *from));
    // Where they are still too many the smallest become ghosts of the others.
    for (from, ghosts) in modules.split_off(kept) {
        for ghost in ghosts.into_iter().chain([from]) {
            let rooms = modules.iter_mut().filter(|(_, ghosts)| ghosts.len() + 1 < ratio);
            let nearest = rooms.min_by(|a, b| costs[a.0 * c + ghost].total_cmp(&costs[b.0 * c + ghost]));
            nearest.into_iter().for_each(|(_, ghosts)| ghosts.push(ghost));
        }
    }
    modules.sort_by_key(|(from, ghosts)| (std::cmp::Reverse(ghosts.len()), *from));

    // The first have all the ghosts that the ratio allows, and the last ones give theirs.
    let mut wanted = c - kept;
    for at in 0..kept {
        while modules[at].1.len() < wanted.min(ratio - 1) {
            let from = modules[at].0;
            let dearer = |ghost: usize, other: usize| costs[from * c + ghost] - costs[other * c + ghost];
            let others = (at + 1..kept).flat_map(|module| modules[module].1.iter().map(move |&ghost| (module, ghost)));
            let cheapest = others.min_by(|a, b| dearer(a.1, modules[a.0].0).total_cmp(&dearer(b.1, modules[b.0].0)));
            let Some((module, ghost)) = cheapest else { break };
            modules[module].1.retain(|&other| other != ghost);
            modules[at].1.push(ghost);
        }
        wanted -= modules[at].1.len();
        modules[at].1.sort_unstable();
    }
    let ghosts = modules.iter().flat_map(|(_, ghosts)| ghosts.iter().copied());
    modules.iter().map(|(from, _)| *from).chain(ghosts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Filters of two taps, at these angles.
    fn at_angles(angles: &[f64]) -> Vec<f32> {
        angles.iter().flat_map(|angle| [angle.cos() as f32, angle.sin() as f32]).collect()
    }

    #[test]
    fn likes_become_a_pair() {
        let data = at_angles(&[0.0, 1.0, 0.01, 2.0, 1.01, 2.01]);
        let filters = Filters { data: &data, scale: vec![1.0; 6], is_signed: true };
        let order = order(&[filters], 2);
        let pairs: std::collections::BTreeSet<[usize; 2]> =
            (0..3).map(|at| [order[at].min(order[at + 3]), order[at].max(order[at + 3])]).collect();
        assert_eq!(pairs, [[0, 2], [1, 4], [3, 5]].into());
    }

    #[test]
    fn every_channel_has_a_place_at_any_ratio() {
        for c in [1, 2, 7, 10, 16] {
            for ratio in 2..6 {
                let data = at_angles(&(0..c).map(|at| (at * at) as f64 * 0.37).collect::<Vec<_>>());
                let filters = || Filters { data: &data, scale: vec![1.0; c], is_signed: false };
                let mut order = order(&[filters(), filters()], ratio);
                order.sort_unstable();
                assert_eq!(order, (0..c).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_lost_is_what_the_multiples_lack() {
        let data = at_angles(&[0.0, 0.5, 3.0]);
        let filters = |is_signed| Filters { data: &data, scale: vec![2.0, 3.0, 1.0], is_signed };
        let signed = filters(true);
        // The normalised filter has length 2.
        assert!((signed.factor(0, 1) - 0.5f64.cos() / 2.0).abs() < 1e-7);
        let lost = [9.0 * 0.5f64.sin().powi(2), 3f64.sin().powi(2)];
        let wanted = ((lost[0] + lost[1]) / 14.0).sqrt();
        assert!((signed.error(1, |_| 0) - wanted).abs() < 1e-7);
        assert_eq!(filters(false).factor(0, 2), 0.0, "only its negative is like it");
        let wanted = ((lost[0] + 1.0) / 14.0).sqrt();
        assert!((filters(false).error(1, |_| 0) - wanted).abs() < 1e-7);
        // A channel that is nothing.
        let nothing = Filters { data: &[0.0; 4], scale: vec![0.0, 1.0], is_signed: true };
        assert_eq!((nothing.factor(0, 1), nothing.error(1, |_| 0)), (0.0, 0.0));
    }
}
