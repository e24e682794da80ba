//! Go's `sort.Sort`, step by step. It does not keep the order of equal elements, but is the same for the same input, so
//! ties of more than twelve keys come in etcd's order only if they are sorted just so.
//!
//! A pattern-defeating quicksort: short stretches by insertion, pivots by the median of three or of nine, heapsort where
//! too many pivots were bad. (Go 1.19 to 1.26, package sort, zsortinterface.go.)

/// Longest stretch that is sorted by insertion.
const INSERTION_MAX: usize = 12;
/// Elements from which on a pivot is the median of three medians.
const NINTHER_MIN: usize = 50;
/// Exchanges of a choice of pivot that mean descending order.
const SWAPS_MAX: usize = 4 * 3;
/// Pairs out of order that are mended before a stretch counts as unsorted.
const MENDED_MAX: usize = 5;
/// Shortest stretch in which any are mended.
const MENDED_MIN: usize = 50;

/// What the choice of a pivot tells of the order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

/// Sorts so that no element is less than the one before it.
pub fn sort<T>(data: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let limit = usize::BITS - data.len().leading_zeros();
    let end = data.len();
    Sort { data, less }.quick(0, end, limit as usize);
}

struct Sort<'a, T, L> {
    data: &'a mut [T],
    less: L,
}

impl<T, L: Fn(&T, &T) -> bool> Sort<'_, T, L> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.data[a], &self.data[b])
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.data.swap(a, b);
    }

    fn insertion(&mut self, a: usize, b: usize) {
        for i in a + 1..b {
            let mut j = i;
            while j > a && self.less(j, j - 1) {
                self.swap(j, j - 1);
                j -= 1;
            }
        }
    }

    fn sift_down(&mut self, low: usize, high: usize, first: usize) {
        let mut root = low;
        loop {
            let mut child = 2 * root + 1;
            if child >= high {
                return;
            }
            if child + 1 < high && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.swap(first + root, first + child);
            root = child;
        }
    }

    fn heap(&mut self, a: usize, b: usize) {
        let high = b - a;
        for i in (0..=(high.saturating_sub(1)) / 2).rev() {
            self.sift_down(i, high, a);
        }
        for i in (0..high).rev() {
            self.swap(a, a + i);
            self.sift_down(0, i, a);
        }
    }

    fn quick(&mut self, mut a: usize, mut b: usize, mut limit: usize) {
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let length = b - a;
            if length <= INSERTION_MAX {
                return self.insertion(a, b);
            }
            if limit == 0 {
                return self.heap(a, b);
            }
            if !balanced {
                self.break_patterns(a, b);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(a, b);
            if hint == Hint::Decreasing {
                self.data[a..b].reverse();
                pivot = (b - 1) - (pivot - a);
                hint = Hint::Increasing;
            }
            if balanced && partitioned && hint == Hint::Increasing && self.mend(a, b) {
                return;
            }
            // Nothing here is less than what lies before: many are equal to the pivot.
            if a > 0 && !self.less(a - 1, pivot) {
                a = self.partition_equal(a, b, pivot);
                continue;
            }
            let (middle, already) = self.partition(a, b, pivot);
            partitioned = already;
            let (left, right) = (middle - a, b - middle);
            balanced = left.min(right) >= length / 8;
            if left < right {
                self.quick(a, middle, limit);
                a = middle + 1;
            } else {
                self.quick(middle + 1, b, limit);
                b = middle;
            }
        }
    }

    /// Puts what is less than the pivot before it; answers its place, and whether all lay right.
    fn partition(&mut self, a: usize, b: usize, pivot: usize) -> (usize, bool) {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        let mut already = true;
        loop {
            while i <= j && self.less(i, a) {
                i += 1;
            }
            while i <= j && !self.less(j, a) {
                j -= 1;
            }
            if i > j {
                break;
            }
            already = false;
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
        self.swap(j, a);
        (j, already)
    }

    /// Puts what is equal to the pivot before what is greater; answers where that begins.
    fn partition_equal(&mut self, a: usize, b: usize, pivot: usize) -> usize {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        loop {
            while i <= j && !self.less(a, i) {
                i += 1;
            }
            while i <= j && self.less(a, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Mends a stretch that is almost in order; whether it is then.
    fn mend(&mut self, a: usize, b: usize) -> bool {
        let mut i = a + 1;
        for _ in 0..MENDED_MAX {
            while i < b && !self.less(i, i - 1) {
                i += 1;
            }
            if i == b {
                return true;
            }
            if b - a < MENDED_MIN {
                return false;
            }
            self.swap(i, i - 1);
            if i - a >= 2 {
                for j in (1..i).rev() {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
            if b - i >= 2 {
                for j in i + 1..b {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
        }
        false
    }

    fn break_patterns(&mut self, a: usize, b: usize) {
        let length = b - a;
        if length < 8 {
            return;
        }
        let mut random = length as u64;
        let modulus = 1_u64 << (usize::BITS - length.leading_zeros());
        let index = a + (length / 4) * 2 - 1;
        for place in index..=index + 2 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut other = (random & (modulus - 1)) as usize;
            if other >= length {
                other -= length;
            }
            self.swap(place, a + other);
        }
    }

    fn choose_pivot(&self, a: usize, b: usize) -> (usize, Hint) {
        let length = b - a;
        let mut swaps = 0;
        let (mut i, mut j, mut k) = (a + length / 4, a + length / 4 * 2, a + length / 4 * 3);
        if length >= NINTHER_MIN {
            i = self.median(i - 1, i, i + 1, &mut swaps);
            j = self.median(j - 1, j, j + 1, &mut swaps);
            k = self.median(k - 1, k, k + 1, &mut swaps);
        }
        if length >= 8 {
            j = self.median(i, j, k, &mut swaps);
        }
        match swaps {
            0 => (j, Hint::Increasing),
            SWAPS_MAX => (j, Hint::Decreasing),
            _ => (j, Hint::Unknown),
        }
    }

    fn median(&self, a: usize, b: usize, c: usize, swaps: &mut usize) -> usize {
        let mut order = |a, b| {
            if self.less(b, a) {
                *swaps += 1;
                (b, a)
            } else {
                (a, b)
            }
        };
        let (a, b) = order(a, b);
        let (b, _) = order(b, c);
        let (_, b) = order(a, b);
        b
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_is_sorted_and_nothing_lost(numbers in prop::collection::vec(0_u8..20, 0..400)) {
            let mut sorted = numbers.clone();
            sort(&mut sorted, |a, b| a < b);
            let mut expected = numbers;
            expected.sort_unstable();
            prop_assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn heaps_are_sorted() {
        let mut numbers: Vec<u32> = (0..100).map(|n| n * 37 % 101).collect();
        let end = numbers.len();
        Sort { data: &mut numbers, less: |a: &u32, b: &u32| a < b }.quick(0, end, 0);
        assert!(numbers.is_sorted());
    }
    /// Digest of the order in which Go 1.26 leaves inputs of many lengths and kinds, ascending and descending.
    const GO: u64 = 13_889_713_370_631_521_755;

    fn digest(digest: u64, number: u64) -> u64 {
        (digest ^ number).wrapping_mul(1_099_511_628_211)
    }

    fn places(digested: u64, items: &[(u64, u64)]) -> u64 {
        digest(digested, items.iter().fold(14_695_981_039_346_656_037, |places, item| digest(places, item.1)))
    }

    #[test]
    fn equal_elements_are_left_in_the_order_of_go() {
        let (mut random, mut digested) = (7_u64, 14_695_981_039_346_656_037);
        let lengths = [13, 30, 49, 60, 200, 1000, 5000_u64];
        let kinds = [2, 5, 50, 100_000].into_iter().flat_map(|modulus| [0, 1, 2].map(|kind| (modulus, kind)));
        for (length, (modulus, kind)) in
            lengths.into_iter().flat_map(|length| kinds.clone().map(move |kind| (length, kind)))
        {
            let mut items = Vec::new();
            for i in 0..length {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = match kind {
                    0 => (random >> 33) % modulus,
                    1 if modulus == 5 && i % 17 == 0 => 0,
                    1 => i / 3,
                    _ => (length - i) / 2,
                };
                items.push((key, i));
            }
            sort(&mut items, |a, b| a.0 < b.0);
            digested = places(digested, &items);
            let mut items: Vec<_> = (0..length).map(|i| (items[((i * 7) % length) as usize].0, i)).collect();
            sort(&mut items, |a, b| b.0 < a.0);
            digested = places(digested, &items);
        }
        assert_eq!(digested, GO);
    }
}
