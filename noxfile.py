"""Developer tasks: `nox -l` lists them, `nox -s lint` runs one. CI runs the same scripts."""

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


@nox.session
def lint(session: nox.Session) -> None:
    session.install(".[dev,examples]")
    session.run("bash", "tools/lint.sh", external=True)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def cpp(session: nox.Session) -> None:
    session.install(".[dev]")
    session.run("bash", "tools/cpp_tests.sh", *(session.posargs or ["default"]), external=True)


@nox.session
def tidy(session: nox.Session) -> None:
    session.install(".[dev]")
    session.run("cmake", "--preset", "tidy", f"-DPython_EXECUTABLE={session.bin}/python")
    session.run("cmake", "--build", "--preset", "tidy")


@nox.session
def sanitize(session: nox.Session) -> None:
    build = f"{session.create_tmp()}/build"
    session.run("bash", "tools/sanitize.sh", build, *session.posargs, external=True)


@nox.session
def threads(session: nox.Session) -> None:
    build = f"{session.create_tmp()}/build"
    arguments = session.posargs or ["-k", "thread"]
    session.run(
        "bash", "tools/sanitize.sh", build, *arguments, external=True, env={"SANITIZERS": "thread"}
    )


@nox.session
def bench(session: nox.Session) -> None:
    session.install(".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Run every `>>>` example of the README and the documentation."""
    session.install(".[test,examples]")
    session.run("pytest", "--doctest-glob=*.md", "README.md", "docs", *session.posargs)


@nox.session
def stubs(session: nox.Session) -> None:
    """Write python/wengert/_core.pyi anew."""
    session.install(".")
    session.run("python", "tools/generate_stubs.py")
