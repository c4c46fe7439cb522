//! Short lists in order. The standard library's sorts are fast for long lists, and have much code for each type.

/// Puts `item` behind those that are not greater.
pub fn insert<T: Ord>(list: &mut Vec<T>, item: T) {
    let at = list.partition_point(|known| *known <= item);
    list.insert(at, item);
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_are_sorted_and_equal_items_keep_their_order() {
        #[derive(Debug)]
        struct Item(u8, usize);
        impl PartialEq for Item {
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }
        impl Eq for Item {}
        impl PartialOrd for Item {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Item {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.0.cmp(&other.0)
            }
        }
        let keys = [3, 1, 2, 3, 1, 0, 2, 1];
        let mut sorted = Vec::new();
        for (i, key) in keys.into_iter().enumerate() {
            super::insert(&mut sorted, Item(key, i));
        }
        let mut expected: Vec<(u8, usize)> = keys.into_iter().zip(0..).collect();
        expected.sort();
        assert_eq!(sorted.iter().map(|item| (item.0, item.1)).collect::<Vec<_>>(), expected);
    }
}
