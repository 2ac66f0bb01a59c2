//! How near words stand to each other: phrases, `slop` and `inorder`, and the distance older scorers divide by.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Whether words stand in a row: each of `places` is ascending and of one word.
pub(super) fn in_a_row(places: &[Vec<u32>]) -> bool {
    let Some((first, rest)) = places.split_first() else { return true };
    first.iter().any(|&start| {
        (1..)
            .zip(rest)
            .all(|(i, places)| start.checked_add(i).is_some_and(|place| places.binary_search(&place).is_ok()))
    })
}

/// Whether words stand so that no more than `slop` others are between them; in their order if asked.
pub(super) fn within(places: &[Vec<u32>], slop: u32, in_order: bool) -> bool {
    let gaps = places.len().saturating_sub(1) as i64;
    let most = i64::from(slop).saturating_add(gaps);
    if places.iter().any(Vec::is_empty) {
        return false;
    }
    if in_order { spans(places).any(|span| span <= most) } else { window(places) <= most }
}

/// From each place of the first word to the next places of all others: distance from the first word to the last.
fn spans(places: &[Vec<u32>]) -> impl Iterator<Item = i64> + '_ {
    let (first, rest) = places.split_first().map_or((&[][..], &[][..]), |(first, rest)| (&first[..], rest));
    first.iter().filter_map(move |&start| {
        let mut last = start;
        for places in rest {
            last = *places.get(places.partition_point(|&place| place <= last))?;
        }
        Some(i64::from(last) - i64::from(start))
    })
}

/// The shortest stretch in which there is a place of every word; none of `places` is empty.
fn window(places: &[Vec<u32>]) -> i64 {
    let mut first: BinaryHeap<_> =
        places.iter().enumerate().map(|(word, places)| Reverse((places[0], word, 0))).collect();
    let mut most = first.iter().map(|place| place.0.0).max().unwrap_or(0);
    let mut shortest = i64::MAX;
    while let Some(Reverse((least, word, at))) = first.pop() {
        shortest = shortest.min(i64::from(most) - i64::from(least));
        let Some(&next) = places[word].get(at + 1) else { break };
        most = most.max(next);
        first.push(Reverse((next, word, at + 1)));
    }
    shortest
}

/// How far words that follow each other in the query stand apart: the root of the sum of their least squared distances.
pub(super) fn apart(places: &[Vec<u32>]) -> f64 {
    let squares = places.windows(2).filter_map(|pair| nearest(&pair[0], &pair[1])).map(|distance| distance * distance);
    squares.sum::<f64>().sqrt()
}

fn nearest(a: &[u32], b: &[u32]) -> Option<f64> {
    let (mut i, mut j, mut least) = (0, 0, None);
    while let (Some(&x), Some(&y)) = (a.get(i), b.get(j)) {
        let distance = x.abs_diff(y);
        least = Some(least.map_or(distance, |least: u32| least.min(distance)));
        if x < y { i += 1 } else { j += 1 }
    }
    least.map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_words_in_a_row() {
        assert!(in_a_row(&[vec![1, 7], vec![3, 8], vec![9]]));
        assert!(!in_a_row(&[vec![1, 7], vec![3, 8], vec![10]]));
    }

    #[test]
    fn slop_counts_words_between() {
        assert!(within(&[vec![5], vec![3]], 1, false) && !within(&[vec![5], vec![3]], 0, false));
        assert!(!within(&[vec![5], vec![3]], 9, true));
        assert!(within(&[vec![1, 20], vec![5, 23], vec![24]], 2, true));
        assert!(!within(&[vec![1, 20], vec![5, 23], vec![24]], 1, true));
        assert!(!within(&[vec![1], vec![]], 100, false));
    }

    #[test]
    fn words_apart_are_measured_pair_by_pair() {
        assert_eq!(apart(&[vec![1, 10], vec![4], vec![8]]), 5.0);
        assert_eq!(apart(&[vec![1]]), 0.0);
    }
}
