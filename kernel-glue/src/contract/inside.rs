//! What a process sees inside: the plan's steps took effect.

use super::context::{Context, replace};
use super::{Case, Fixture, Row};
use crate::glue::ProcessKey;
use crate::plan::{Namespace, NamespaceSource, Step};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::message::Exit;

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        (
            "the host name inside is the plan's, for each container its own",
            hostname as fn(&mut Context<'_, F>) -> Case,
        ),
        ("the working directory inside is the plan's", directory),
        ("the user inside is the plan's", user),
        ("the environment inside is the plan's, and nothing else", environment),
        ("the first process of a new pid namespace is number 1", number),
        ("new namespaces are no other container's", apart),
        ("a namespace joined by path is the same object", joined),
        ("files of the host are not seen inside", host),
    ])
}

fn hostname<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs_namespace(Namespace::Uts)?;
    for name in ["one", "two.example"] {
        let mut plan = c.plan(&["/bin/hostname"]);
        replace(&mut plan, |s| matches!(s, Step::Hostname(_)), Step::Hostname(name.to_string()));
        ensure_eq!(c.run(&plan)?, (Exit::Code(0), format!("{name}\n")), "hostname");
    }
    Ok(())
}

fn directory<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let mut plan = c.plan(&["/bin/pwd"]);
    let home = Step::WorkingDirectory("/home".to_string());
    replace(&mut plan, |s| matches!(s, Step::WorkingDirectory(_)), home);
    ensure_eq!(c.run(&plan)?, (Exit::Code(0), "/home\n".to_string()), "pwd");
    Ok(())
}

fn user<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let mut plan = c.plan(&["/bin/sh", "-c", "id -u; id -g"]);
    let user = Step::User { uid: 1234, gid: 2345, groups: Vec::new(), umask: None };
    replace(&mut plan, |s| matches!(s, Step::User { .. }), user);
    ensure_eq!(c.run(&plan)?, (Exit::Code(0), "1234\n2345\n".to_string()), "id");
    Ok(())
}

fn environment<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let plan = c.plan(&["/bin/env"]);
    let (exit, output) = c.run(&plan)?;
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_unstable();
    ensure_eq!((exit, lines), (Exit::Code(0), Vec::from(["CONTRACT=kept", "PATH=/bin"])), "env");
    Ok(())
}

fn number<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs_namespace(Namespace::Pid)?;
    let plan = c.plan(&["/bin/sh", "-c", "echo $$"]);
    ensure_eq!(c.run(&plan)?, (Exit::Code(0), "1\n".to_string()), "its own number");
    Ok(())
}

/// A command that tells the namespaces it is in, a line each, and stays.
pub(super) fn tells(kinds: &[Namespace]) -> String {
    let mut script = String::new();
    for kind in kinds {
        script.push_str(&format!("readlink /proc/self/ns/{}; ", kind.proc_name()));
    }
    script + "sleep 1000"
}

fn apart<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let kinds = c.kinds();
    let script = tells(&kinds);
    let (one, _) = c.start(&["/bin/sh", "-c", &script])?;
    let (two, _) = c.start(&["/bin/sh", "-c", &script])?;
    let ones = c.lines(ProcessKey::First(one), kinds.len())?;
    let twos = c.lines(ProcessKey::First(two), kinds.len())?;
    for ((kind, one), two) in kinds.iter().zip(&ones).zip(&twos) {
        ensure!(one.starts_with(kind.proc_name()), "{} is shown as {one}", kind.as_str());
        ensure!(one != two, "both containers are in {one}");
    }
    Ok(())
}

fn joined<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let kinds: Vec<Namespace> =
        c.kinds().into_iter().filter(|k| !matches!(k, Namespace::Mount | Namespace::Pid)).collect();
    let script = tells(&kinds);
    let (one, pid) = c.start(&["/bin/sh", "-c", &script])?;
    let mut plan = c.plan(&["/bin/sh", "-c", &script]);
    if let Some(Step::Namespaces(list)) = plan.create.iter_mut().find(|s| matches!(s, Step::Namespaces(_))) {
        for (kind, source) in list.iter_mut().filter(|(kind, _)| kinds.contains(kind)) {
            *source = NamespaceSource::Path(format!("/proc/{}/ns/{}", pid.0, kind.proc_name()));
        }
    }
    plan.create.retain(|step| !matches!(step, Step::Hostname(_)));
    let two = c.key();
    c.prepare(two, &plan)?;
    c.release(two)?;
    let ones = c.lines(ProcessKey::First(one), kinds.len())?;
    ensure_eq!(c.lines(ProcessKey::First(two), kinds.len())?, ones, "the joined namespaces");
    // The one that made them may go first: they live as long as one is in them.
    c.destroy(one)?;
    let third = c.execute(two, 1, &["/bin/sh", "-c", &script])?;
    ensure_eq!(c.lines(third, kinds.len())?, ones, "the namespaces after their maker has gone");
    Ok(())
}

fn host<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    for path in ["/note", "/../note", "/../../../note", "/config.json"] {
        let plan = c.plan(&["/bin/cat", path]);
        let (exit, output) = c.run(&plan)?;
        ensure!(exit == Exit::Code(1), "cat {path} ended with {exit:?} and wrote {output:?}");
    }
    Ok(())
}
