"""Label Studio over REST, as far as labels need it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import requests
from pydantic import TypeAdapter, ValidationError

from schemas.errors import StoppedError, UsageError

T = TypeVar("T")

TOKEN = "LABEL_STUDIO_API_KEY"
"""The environment variable that holds a token."""

_TIMEOUT = (10, 600)  # seconds: to connect, and between bytes; a large export takes its time
_PAGE = 100
_START = "start it (docs/labels.md says how), or mend the URL"
_KEPT = "then run again: what is pushed is kept"


@dataclass(frozen=True)
class Project:
    """A project, as far as it matters here."""

    id: int
    title: str
    maximum_annotations: int


@dataclass(frozen=True)
class _Page:
    results: list[Project]
    next: str | None = None


@dataclass(frozen=True)
class _Uploads:
    file_upload_ids: list[int]


@dataclass(frozen=True)
class _Upload:
    file: str


@dataclass(frozen=True)
class _Access:
    access: str


class Client:
    """A signed-in session.

    Takes a legacy token, or a personal access token, which is traded for one of five minutes as often as
    needed. Proxies and .netrc are not looked at. Every call raises `UsageError` where the server cannot be
    reached, does not take the token, or is no Label Studio; and `StoppedError` where it fails.

    Args:
      url: of the server, http:// or https://.
      token: of its Account & Settings page.
    """

    def __init__(self, url: str, token: str):
        self.url = url.rstrip("/")
        self._token = token
        self._personal = token.count(".") == 2
        self._session = requests.Session()
        self._session.trust_env = False
        self._sign_in()

    def check(self) -> None:
        """Ask whether it is a Label Studio that takes the token."""
        if "label-studio-os-package" not in self._call("GET", "/api/version", dict[str, Any]):
            raise UsageError(f"{self.url}: this is no Label Studio; {_START}")
        self._call("GET", "/api/current-user/whoami", dict[str, Any])

    def projects(self, title: str) -> list[Project]:
        """Projects of exactly this title, the oldest first."""
        found: list[Project] = []
        page = 1
        while True:
            query = {"title": title, "page": page, "page_size": _PAGE}
            answer = self._call("GET", "/api/projects/", _Page, params=query)
            found += [project for project in answer.results if project.title == title]
            if not answer.next:
                return sorted(found, key=lambda project: project.id)
            page += 1

    def make_project(self, **settings: Any) -> Project:
        """A new project."""
        return self._call("POST", "/api/projects/", Project, json=settings)

    def change_project(self, number: int, **settings: Any) -> None:
        """Change a project's settings."""
        self._call("PATCH", f"/api/projects/{number}/", Project, json=settings)

    def export(self, number: int) -> list[Any]:
        """The JSON export of a project, with tasks that nobody has answered."""
        query = {"exportType": "JSON", "download_all_tasks": "true"}
        return self._call("GET", f"/api/projects/{number}/export", list[Any], params=query)

    def upload(self, number: int, pictures: Mapping[str, bytes]) -> dict[str, str]:
        """Send PNGs by name (without suffix); returns the `image` of a task that shows each."""
        path = f"/api/projects/{number}"
        files = {name: (f"{name}.png", data, "image/png") for name, data in pictures.items()}
        sent = self._call(
            "POST", f"{path}/import", _Uploads, files=files, params={"commit_to_project": "false"}
        )
        ids = f"[{','.join(map(str, sent.file_upload_ids))}]"
        uploads = self._call("GET", f"{path}/file-uploads", list[_Upload], params={"ids": ids})
        # The server puts eight digits before the name that it was sent.
        images = {upload.file.rpartition("/")[2][9:-4]: f"/data/{upload.file}" for upload in uploads}
        missing = pictures.keys() - images.keys()
        if missing:
            raise StoppedError(
                f"{self.url}{path}: {len(missing)} pictures did not arrive; look into its log, {_KEPT}"
            )
        return images

    def add_tasks(self, number: int, tasks: list[dict[str, Any]]) -> None:
        """Add tasks, whether or not they are there already."""
        self._call("POST", f"/api/projects/{number}/import", dict[str, Any], json=tasks)

    def _sign_in(self) -> None:
        if self._personal:
            self._session.headers.pop("Authorization", None)
            body = {"refresh": self._token}
            access = self._call("POST", "/api/token/refresh", _Access, again=False, json=body)
            self._session.headers["Authorization"] = f"Bearer {access.access}"
        else:
            self._session.headers["Authorization"] = f"Token {self._token}"

    def _call(self, method: str, path: str, kind: type[T], again: bool = True, **rest: Any) -> T:
        where = f"{self.url}{path}"
        try:
            response = self._session.request(method, where, timeout=_TIMEOUT, **rest)
            if response.status_code == 401 and self._personal and again:
                self._sign_in()
                return self._call(method, path, kind, again=False, **rest)
            if not response.ok:
                _refuse(f"{where}: {response.status_code} {_detail(response)}", response.status_code)
            return TypeAdapter(kind).validate_python(response.json())
        except ValidationError as error:
            problem = error.errors()[0]
            said = f"{'.'.join(map(str, problem['loc']))} {problem['msg'].lower()}".strip()
            raise UsageError(f"{where}: not what Label Studio answers ({said}); {_START}") from None
        except requests.exceptions.InvalidJSONError:
            raise UsageError(
                f"{where}: its answer is not JSON, so this is no Label Studio; {_START}"
            ) from None
        except requests.ReadTimeout:
            raise StoppedError(f"{where}: silent for {_TIMEOUT[1]} s; look into its log, {_KEPT}") from None
        except requests.ConnectionError as error:
            raise UsageError(f"{self.url}: cannot be reached ({_cause(error)}); {_START}") from None
        except requests.RequestException as error:
            raise UsageError(f"{self.url}: cannot be asked ({error}); {_START}") from None


def connect(url: str, environment: Mapping[str, str] = os.environ) -> Client:
    """Sign in with the token of the environment.

    Raises:
      UsageError: if there is none, or the server cannot be used.
    """
    token = environment.get(TOKEN, "").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise UsageError(
            f"${TOKEN} {'is not a token' if token else 'is not set'}; copy a token from {url} "
            f"(Account & Settings) and set it: export {TOKEN}=…"
        )
    client = Client(url, token)
    client.check()
    return client


def _refuse(said: str, status: int) -> NoReturn:
    if status in (401, 403):
        raise UsageError(
            f"{said}: it does not take ${TOKEN}; copy the token of its Account & Settings page anew "
            "(the organisation must allow its kind: legacy, or personal access token)"
        )
    if status in (404, 405):
        raise UsageError(
            f"{said}: this is no Label Studio, or of another version than docs/labels.md names; {_START}"
        )
    raise StoppedError(f"{said}; look into its log, {_KEPT}")


def _detail(response: requests.Response) -> str:
    try:
        value = response.json()
    except requests.exceptions.InvalidJSONError:
        return str(response.reason)
    return str(value.get("detail", value) if isinstance(value, dict) else value)[:300]


def _cause(error: Exception) -> str:
    reason = getattr(error.args[0] if error.args else None, "reason", error)
    return str(reason).rpartition(": ")[2]
