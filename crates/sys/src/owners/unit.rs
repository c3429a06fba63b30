//! Owns the reading of cgroup paths: which container, pod, service or session one means. Pure.
//! Read: systemd.unit(5), cgroups(7), the cgroup drivers of runc, containerd, CRI-O, podman and lxc.

/// What the cgroup path names, from the host's point of view:
///
/// | path has | unit |
/// |---|---|
/// | a pod of Kubernetes | `pod/UID/CONTAINER`, or `pod/UID` outside of its containers |
/// | a container of docker, containerd, CRI-O, podman | `docker/CONTAINER` and so on |
/// | a container of LXC | `lxc/NAME` |
/// | a systemd service or scope | its name, the innermost one |
/// | only slices | the innermost slice |
///
/// CONTAINER is the first 12 digits of the container's number, as the runtimes' own lists show it.
/// `None` for the root and for paths of no known form.
pub fn unit_of(cgroup: &str) -> Option<String> {
    let parts: Vec<&str> = cgroup.split('/').filter(|part| !part.is_empty()).collect();
    let container = parts.iter().enumerate().find_map(|(index, part)| {
        let parent = index.checked_sub(1).and_then(|index| parts.get(index).copied());
        container(part, parent)
    });
    if let Some(pod) = parts.iter().find_map(|part| pod(part)) {
        return Some(match container {
            Some(Container { number, .. }) => format!("pod/{pod}/{number}"),
            None => format!("pod/{pod}"),
        });
    }
    if let Some(Container { runtime, number }) = container {
        return Some(format!("{runtime}/{number}"));
    }
    if let Some(name) = parts.windows(2).find_map(|pair| lxc(pair)).or_else(|| lxc_payload(&parts))
    {
        return Some(format!("lxc/{name}"));
    }
    let innermost = |suffixes: &[&str]| {
        parts.iter().rev().find(|part| suffixes.iter().any(|suffix| part.ends_with(suffix)))
    };
    innermost(&[".service", ".scope"])
        .or_else(|| innermost(&[".slice"]))
        .map(|part| (*part).to_owned())
}

struct Container<'a> {
    runtime: &'a str,
    number: &'a str,
}

/// `docker-NUMBER.scope` below systemd, `docker/NUMBER` without it.
fn container<'a>(part: &'a str, parent: Option<&'a str>) -> Option<Container<'a>> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let (prefix, number) = name.rsplit_once('-').unwrap_or((parent.unwrap_or_default(), name));
    if number.len() != CONTAINER_DIGITS || !number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let runtime = match prefix {
        "docker" => "docker",
        "cri-containerd" => "containerd",
        "crio" => "crio",
        "libpod" => "podman",
        _ => "container",
    };
    Some(Container { runtime, number: number.get(..12)? })
}

/// `pod<UID>` without systemd, `kubepods-burstable-pod<UID>.slice` below it, where the dashes of
/// the UID are underscores, because a dash means a level in slices' names.
fn pod(part: &str) -> Option<String> {
    let name = match part.strip_suffix(".slice") {
        Some(slice) if slice.starts_with("kubepods") => slice.rsplit_once("-pod")?.1,
        Some(_) => return None,
        None => part.strip_prefix("pod")?,
    };
    let uid = name.replace('_', "-");
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    // A UID has 32 digits, with dashes or (for static pods) without.
    let is_uid = digits == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(uid)
}

fn lxc<'a>(pair: &[&'a str]) -> Option<&'a str> {
    match pair {
        ["lxc", name] => Some(name),
        _ => None,
    }
}

fn lxc_payload<'a>(parts: &[&'a str]) -> Option<&'a str> {
    parts.iter().find_map(|part| part.strip_prefix("lxc.payload."))
}

/// Runtimes number containers with 256 random bits.
const CONTAINER_DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "2a5b9e0c-1111-2222-3333-444455556666";

    fn unit(path: &str) -> Option<String> {
        let path = path.replace("NUMBER", NUMBER).replace("UID", UID);
        unit_of(&path.replace("U_I_D", &UID.replace('-', "_")))
    }

    #[test]
    fn a_service_is_named_also_from_a_group_below_it() {
        assert_eq!(unit("/system.slice/nginx.service").as_deref(), Some("nginx.service"));
        assert_eq!(unit("/system.slice/a.service/worker/1").as_deref(), Some("a.service"));
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/app-ff@1.service";
        assert_eq!(unit(user).as_deref(), Some("app-ff@1.service"));
    }

    #[test]
    fn a_session_and_a_bare_slice_are_named() {
        let session = "/user.slice/user-1000.slice/session-3.scope";
        assert_eq!(unit(session).as_deref(), Some("session-3.scope"));
        assert_eq!(unit("/init.scope").as_deref(), Some("init.scope"));
        assert_eq!(unit("/user.slice/user-0.slice").as_deref(), Some("user-0.slice"));
    }

    #[test]
    fn containers_are_named_by_runtime_and_first_twelve_digits() {
        for (path, expected) in [
            ("/system.slice/docker-NUMBER.scope", "docker/0123456789ab"),
            ("/docker/NUMBER", "docker/0123456789ab"),
            ("/docker/NUMBER/system.slice/nginx.service", "docker/0123456789ab"),
            ("/system.slice/cri-containerd-NUMBER.scope", "containerd/0123456789ab"),
            ("/machine.slice/libpod-NUMBER.scope/container", "podman/0123456789ab"),
            ("/machine.slice/libpod-conmon-NUMBER.scope", "container/0123456789ab"),
            ("/system.slice/crio-NUMBER.scope", "crio/0123456789ab"),
            ("/actions_job/NUMBER", "container/0123456789ab"),
        ] {
            assert_eq!(unit(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn pods_are_named_under_either_cgroup_driver() {
        let expected = format!("pod/{UID}/0123456789ab");
        for path in [
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/cri-containerd-NUMBER.scope",
            "/kubepods.slice/kubepods-podU_I_D.slice/crio-NUMBER.scope/container",
            "/kubepods/besteffort/podUID/NUMBER",
            "/system.slice/kubelet.service/kubepods/podUID/NUMBER",
        ] {
            assert_eq!(unit(path).as_deref(), Some(expected.as_str()), "{path}");
        }
        assert_eq!(unit("/kubepods/podUID"), Some(format!("pod/{UID}")));
    }

    #[test]
    fn lxc_containers_are_named_by_their_name() {
        assert_eq!(unit("/lxc/web/init.scope").as_deref(), Some("lxc/web"));
        assert_eq!(unit("/lxc.payload.web/system.slice/a.service").as_deref(), Some("lxc/web"));
    }

    #[test]
    fn the_root_and_foreign_forms_name_nothing() {
        for path in ["/", "", "/podcast", "/deadbeef", "/../..", "/kubepods.slicer"] {
            assert_eq!(unit(path), None, "{path}");
        }
    }
}
