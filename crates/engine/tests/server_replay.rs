//! Replicas repeat flushes and swaps of databases exactly.

mod common;

use common::Replicated;

#[test]
fn changes_of_whole_databases_are_repeated_by_their_effects() {
    let mut pair = Replicated::new();
    for round in 0..40 {
        for line in ["SET a{} 1", "SELECT 1", "SET b{} 2", "SELECT 2", "SET c{} 3", "SELECT 0"] {
            pair.run(&line.replace("{}", &round.to_string()));
        }
        let line = match round % 8 {
            0 => "SWAPDB 0 1",
            1 => "SWAPDB 1 2",
            3 => "FLUSHDB",
            5 => "SWAPDB 2 2",
            6 => "SWAPDB 2 15",
            7 => "FLUSHALL",
            _ => "PING",
        };
        pair.run(line);
        for line in ["MULTI", "SELECT 1", "FLUSHDB SYNC", "SELECT 2", "SET x 1", "SWAPDB 1 2", "SELECT 0"] {
            pair.run(line);
        }
        pair.run(if round % 3 == 0 { "EXEC" } else { "DISCARD" });
    }
}
