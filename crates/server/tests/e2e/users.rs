//! Users in files, connections of deleted users, and what is written back.

use std::fs;

use quiver_resp::Value;

use crate::support::{ask, connect, error, run, start_in};

#[test]
fn users_of_the_acl_file_are_read_saved_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.acl");
    fs::write(&path, "# people\nuser bob on nopass ~b* +@all\n\nuser default on nopass ~* &* +@all\n").unwrap();
    let server = start_in(folder.path(), &["--aclfile", path.to_str().unwrap()]);
    let mut admin = connect(&server);
    let mut bob = connect(&server);
    run(&mut bob, "AUTH bob x");
    assert_eq!(error(&mut bob, "SET a 1"), "NOPERM No permissions to access a key");
    run(&mut admin, "ACL SETUSER carol on >pw ~c* +get");
    run(&mut admin, "ACL SAVE");
    let saved = fs::read_to_string(&path).unwrap();
    assert!(saved.contains("user bob on nopass sanitize-payload ~b* resetchannels +@all\n"), "{saved}");
    assert!(saved.contains("user carol on sanitize-payload #") && !saved.contains("pw"), "{saved}");

    fs::write(&path, "user carol off\nuser dave on foo\nnonsense\n").unwrap();
    let text = error(&mut admin, "ACL LOAD");
    assert!(text.contains("users.acl:2: Syntax error") && text.contains("users.acl:3: "), "{text}");
    run(&mut bob, "SET b 1");

    fs::write(&path, "user carol on nopass ~* +@all\n").unwrap();
    run(&mut admin, "ACL LOAD");
    assert_eq!(run(&mut admin, "ACL USERS").as_array().unwrap().len(), 2);
    assert!(bob.call(&["GET", "b"]).is_err() || matches!(ask(&mut bob, "GET b"), Value::Error(_)), "bob is gone");
}

#[test]
fn the_configuration_is_written_back_with_its_comments_and_users() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis.conf");
    let text = "# mine\nmaxmemory 10mb\nuser bob on nopass ~* +get\n# end\nappendonly no\n";
    fs::write(&path, text).unwrap();
    {
        let server = start_in(folder.path(), &[path.to_str().unwrap(), "--save", ""]);
        let mut admin = connect(&server);
        let mut bob = connect(&server);
        run(&mut bob, "AUTH bob x");
        assert!(error(&mut bob, "SET a 1").starts_with("NOPERM"));
        run(&mut admin, "CONFIG SET maxmemory 20mb hz 50 requirepass secret");
        run(&mut admin, "ACL SETUSER carol on >pw +@read ~c*");
        run(&mut admin, "CONFIG REWRITE");
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.starts_with("# mine\nmaxmemory 20mb\nuser bob on nopass "), "{written}");
    assert!(written.contains("\nuser carol on ") && written.contains("\n# end\nappendonly no\n"), "{written}");
    assert!(written.contains("\nhz 50\n") && written.contains("\nrequirepass secret\n"), "{written}");

    let server = start_in(folder.path(), &[path.to_str().unwrap()]);
    let mut admin = connect(&server);
    assert!(error(&mut admin, "GET a").starts_with("NOAUTH"));
    run(&mut admin, "AUTH secret");
    run(&mut admin, "AUTH carol pw");
    assert!(error(&mut admin, "GET a").starts_with("NOPERM No permissions"));
}

#[test]
fn a_password_is_as_random_as_it_is_long() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_in(folder.path(), &[]);
    let mut admin = connect(&server);
    let (one, two) = (run(&mut admin, "ACL GENPASS"), run(&mut admin, "ACL GENPASS"));
    assert_eq!(one.as_str().unwrap().len(), 64);
    assert_ne!(one, two);
    assert_eq!(run(&mut admin, "ACL GENPASS 5").as_str().unwrap().len(), 2);
}

#[test]
fn deleting_a_user_closes_its_connections() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_in(folder.path(), &[]);
    let (mut admin, mut bob) = (connect(&server), connect(&server));
    run(&mut admin, "ACL SETUSER bob on nopass +@all ~*");
    run(&mut bob, "AUTH bob x");
    run(&mut admin, "ACL DELUSER bob");
    let clients = || run(&mut connect(&server), "CLIENT LIST").as_str().unwrap().contains("user=bob");
    let gone = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        !clients()
    });
    assert!(gone, "the connection of a deleted user is still there");
    assert!(bob.call(&["PING"]).is_err());
}
