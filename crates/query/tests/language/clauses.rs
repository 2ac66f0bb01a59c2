//! Numbers, tags, places and vectors.

use quiver_query::ast::{End, Knn, Policy, Relation, Tag};

use super::*;

fn range(min: f64, min_out: bool, max: f64, max_out: bool) -> Node {
    let end = |value, exclusive| End { value, exclusive };
    node(Kind::Numeric { field: 1, min: end(min, min_out), max: end(max, max_out) })
}

#[test]
fn ranges_of_numbers() {
    assert_eq!(root("@n:[1 2.5]"), range(1.0, false, 2.5, false));
    assert_eq!(root("@n:[(1 (2]"), range(1.0, true, 2.0, true));
    assert_eq!(root("@n:[-inf +inf]"), range(f64::NEG_INFINITY, false, f64::INFINITY, false));
    assert_eq!(root("@n:[($num inf]"), range(3.0, true, f64::INFINITY, false));
    assert_eq!(root("@n:[-$num $num]"), range(-3.0, false, 3.0, false));
    assert_eq!(root("@n:[1,2]"), range(1.0, false, 2.0, false));
    assert_eq!(root("@n:[7]"), range(7.0, false, 7.0, false));
    assert_eq!(root("-@n:[7 7]"), not(range(7.0, false, 7.0, false)));
}

#[test]
fn comparisons_with_numbers() {
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    assert_eq!(root("@n==3"), range(3.0, false, 3.0, false));
    assert_eq!(root("@n != 3"), not(range(3.0, false, 3.0, false)));
    assert_eq!(root("@n<3"), range(low, false, 3.0, true));
    assert_eq!(root("@n <= -3"), range(low, false, -3.0, false));
    assert_eq!(root("@n>$num"), range(3.0, true, high, false));
    assert_eq!(root("@n>=3 foo"), and([range(3.0, false, high, false), word("foo")]));
}

#[test]
fn tags_keep_blanks_and_fold_unless_case_matters() {
    let tags = |field, tags: &[Tag]| node(Kind::Tag { field, any: tags.into() });
    let exact = |text: &str| Tag::Exact(text.into());
    assert_eq!(root("@tag:{ New York | hello-world }"), tags(3, &[exact("new york"), exact("hello-world")]));
    assert_eq!(root("@case:{New\\ York}"), tags(4, &[exact("New York")]));
    assert_eq!(root("@tag:{to be or not to be}"), tags(3, &[exact("to be or not to be")]));
    assert_eq!(root(r"@tag:{a\|b\}c\*}"), tags(3, &[exact("a|b}c*")]));
    assert_eq!(root("@tag:{\"a|b\"|'c'}"), tags(3, &[exact("a|b"), exact("c")]));
    assert_eq!(root("@tag:{$p}"), tags(3, &[exact("value")]));
    assert_eq!(
        root("@tag:{pre*|*suf|*in*|w'w?ld*'}"),
        tags(
            3,
            &[
                Tag::Prefix(b"pre".into()),
                Tag::Suffix(b"suf".into()),
                Tag::Infix(b"in".into()),
                Tag::Wildcard(b"w?ld*".into())
            ]
        )
    );
    assert_eq!(root("@empty:{\"\"}"), tags(5, &[exact("")]));
}

#[test]
fn places_and_shapes() {
    let geo = |radius_m| node(Kind::Geo { field: 6, longitude: -122.41, latitude: 37.77, radius_m });
    assert_eq!(root("@geo:[-122.41 37.77 5 km]"), geo(5000.0));
    assert_eq!(root("@geo:[-122.41 37.77 $num M]"), geo(3.0));
    let shape = node(Kind::Shape { field: 7, relation: Relation::Within, wkt: b"POINT(1 2)".into() });
    assert_eq!(root("@shape:[WITHIN $poly]"), shape);
    assert_eq!(root("ismissing(@tag)"), node(Kind::Missing { field: 3 }));
    assert_eq!(root("ismissing"), word("ismissing"));
}

fn knn() -> Knn {
    Knn {
        k: 10,
        field: 8,
        vector: b"12345678".into(),
        ef_runtime: None,
        policy: None,
        batch_size: None,
        distance_as: b"__v_score".into(),
    }
}

#[test]
fn neighbours_among_all_and_among_what_matches() {
    let query = read("*=>[KNN 10 @v $vec]");
    assert_eq!((query.root, query.knn), (node(Kind::All), Some(knn())));
    let query = read("(@tag:{a} foo)=>[KNN $num @v $vec EF_RUNTIME 50 AS dist]");
    assert!(matches!(query.root.kind, Kind::And(_)));
    assert_eq!(query.knn, Some(Knn { k: 3, ef_runtime: Some(50), distance_as: b"dist".into(), ..knn() }));
    let query = read("foo bar=>[knn 10 @v $vec HYBRID_POLICY BATCHES BATCH_SIZE $num AS $as]");
    assert!(matches!(query.root.kind, Kind::And(_)));
    let policy = Some(Policy::Batches);
    assert_eq!(query.knn, Some(Knn { policy, batch_size: Some(3), distance_as: b"dist".into(), ..knn() }));
    let query = read("foo=>[KNN 10 @v $vec]=>{$yield_distance_as: d; $hybrid_policy: ADHOC_BF}");
    assert_eq!(query.knn, Some(Knn { policy: Some(Policy::AdHoc), distance_as: b"d".into(), ..knn() }));
}

#[test]
fn vectors_within_a_radius() {
    let within = |epsilon, distance_as| {
        node(Kind::VectorRange { field: 8, radius: 0.5, vector: b"12345678".into(), epsilon, distance_as })
    };
    assert_eq!(root("@v:[VECTOR_RANGE 0.5 $vec]"), within(None, None));
    assert_eq!(
        root("@v:[VECTOR_RANGE 0.5 $vec]=>{$YIELD_DISTANCE_AS: vector_distance; $EPSILON: 0.1}"),
        within(Some(0.1), Some(b"vector_distance".into()))
    );
    let query = root("(@v:[VECTOR_RANGE 0.5 $vec]=>{$yield_distance_as: d} @tag:{x})");
    assert!(matches!(query.kind, Kind::And(parts) if parts[0] == within(None, Some(b"d".into()))));
}
