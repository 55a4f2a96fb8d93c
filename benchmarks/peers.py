"""Other gateways beside the proxy, where they are installed: on the PATH, or by `python -m benchmarks.leaderboard`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from .bodies import ANTHROPIC, CHAT, SAME
from .gateways import KEY, PROTOCOLS, STREAMS, Gateway, base_url, model, plain_headers
from .ports import free_port
from .program import ROOT, running

INSTALLED = ROOT / "build" / "leaderboard"
"""The folder in which the board of gateways installs them."""

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_max_body_size 64m; client_body_buffer_size 2m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream models {{ server 127.0.0.1:{upstream}; keepalive 4096; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://models; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


class NotInstalled(Exception):
    """The gateway's program is nowhere; the text says how it is installed."""


def find(program: str, gateway: str, how: str) -> str:
    """The path of a gateway's program; raises NotInstalled."""
    places = (INSTALLED / gateway / "bin" / program, INSTALLED / gateway / "node_modules" / ".bin" / program)
    found = shutil.which(program) or next((str(place) for place in places if place.exists()), None)
    if found is None:
        raise NotInstalled(f"{program} is not installed: {how}")
    return found


def _by_leaderboard(gateway: str) -> str:
    return f"python -m benchmarks.leaderboard --gateway {gateway}"


@contextmanager
def nginx(upstream: int, core: int, folder: Path) -> Iterator[Gateway]:
    program, port = find("nginx", "nginx", "apt install nginx"), free_port()
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, port=port, upstream=upstream))
    with running([program, "-p", str(folder), "-c", str(file)], port, core) as running_:
        yield Gateway("nginx", running_, port, pairs=SAME, prefixed=True)


@contextmanager
def portkey(upstream: int, core: int, folder: Path) -> Iterator[Gateway]:
    port = free_port()
    program = find("gateway", "portkey", _by_leaderboard("portkey"))

    def headers(kind: str, streams: str) -> Mapping[str, str]:
        host = base_url(upstream, kind, streams) + ("/v1" if kind == ANTHROPIC else "")
        provider = "openai" if kind == CHAT else "anthropic"
        return {
            **plain_headers(kind, streams),
            "x-portkey-provider": provider,
            "x-portkey-custom-host": host,
        }

    with running([program, "--headless", f"--port={port}"], port, core, folder=folder) as running_:
        yield Gateway("portkey", running_, port, headers, (*SAME, (CHAT, ANTHROPIC)))


@contextmanager
def llm_rosetta(upstream: int, core: int, folder: Path) -> Iterator[Gateway]:
    port = free_port()
    program = find("llm-rosetta-gateway", "llm-rosetta", _by_leaderboard("llm-rosetta"))
    types = {CHAT: "openai_chat", ANTHROPIC: "anthropic"}
    each = [(kind, streams) for kind in PROTOCOLS for streams in STREAMS]
    providers = {
        model(*one): {"type": types[one[0]], "base_url": base_url(upstream, *one), "api_key": KEY} for one in each
    }
    models = {model(*one): {"provider": model(*one), "capabilities": ["text", "vision", "tools"]} for one in each}
    server = {"host": "127.0.0.1", "port": port, "open_on_no_keys": True}
    file = folder / "rosetta.jsonc"
    file.write_text(json.dumps({"providers": providers, "models": models, "server": server}))
    command = [program, "--config", str(file), "--data-dir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with running([*command, "--no-banner", "--log-level", "warning"], port, core) as running_:
        yield Gateway("llm-rosetta", running_, port)


@contextmanager
def litellm(upstream: int, core: int, folder: Path) -> Iterator[Gateway]:
    port = free_port()
    program = find("litellm", "litellm", _by_leaderboard("litellm"))
    vendors = {CHAT: "openai", ANTHROPIC: "anthropic"}
    models = [
        {
            "model_name": model(kind, streams),
            "litellm_params": {
                "model": f"{vendors[kind]}/{model(kind, streams)}",
                "api_base": base_url(upstream, kind, streams),
                "api_key": KEY,
            },
        }
        for kind in PROTOCOLS
        for streams in STREAMS
    ]
    file = folder / "litellm.yaml"
    file.write_text(
        json.dumps(
            {
                "general_settings": {"master_key": KEY},
                "litellm_settings": {"num_retries": 0, "telemetry": False, "disable_hf_tokenizer_download": True},
                "router_settings": {"num_retries": 0, "disable_cooldowns": True},
                "model_list": models,
            }
        )
    )
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY, "LITELLM_LOG": "ERROR"}
    command = [program, "--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with running(command, port, core, environment) as running_:
        yield Gateway("litellm", running_, port)


PEERS: dict[str, Callable[[int, int, Path], AbstractContextManager[Gateway]]] = {
    "nginx": nginx,
    "portkey": portkey,
    "llm-rosetta": llm_rosetta,
    "litellm": litellm,
}
"""By name what starts the gateway before an upstream, on a core, with its files in a folder."""
