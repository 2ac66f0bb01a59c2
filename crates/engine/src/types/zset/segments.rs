//! A vector in segments: growing it never copies more than one segment, so no insertion pays for all that came before,
//! and at most one segment is room that is not used yet. Up to the first segment it grows as a vector does.

/// Elements of type `T`, `1 << SHIFT` to a segment.
#[derive(Clone, Debug)]
pub(super) struct Segments<T, const SHIFT: u32> {
    segments: Vec<Vec<T>>,
}

impl<T, const SHIFT: u32> Segments<T, SHIFT> {
    const LEN: usize = 1 << SHIFT;

    pub(super) const fn new() -> Self {
        Self { segments: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        match self.segments.last() {
            Some(last) => (self.segments.len() - 1) * Self::LEN + last.len(),
            None => 0,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let elements: usize = self.segments.iter().map(Vec::capacity).sum();
        elements * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> &T {
        &self.segments[at >> SHIFT][at & (Self::LEN - 1)]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: usize) -> &mut T {
        &mut self.segments[at >> SHIFT][at & (Self::LEN - 1)]
    }

    pub(super) fn push(&mut self, element: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < Self::LEN => {
                if last.len() == last.capacity() {
                    last.reserve_exact(last.len().min(Self::LEN - last.len()));
                }
                last.push(element);
            }
            Some(_) => {
                let mut next = Vec::with_capacity(Self::LEN);
                next.push(element);
                self.segments.push(next);
            }
            None => self.segments.push(vec![element]),
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let last = self.segments.last_mut()?;
        let element = last.pop();
        if last.is_empty() {
            self.segments.pop();
        }
        element
    }
}
