"""Ask a platecheck service about many photos at once: python async_client.py URL PHOTO...

At most a few photos are under way at a time; a busy service is asked again after the time that it
names, and a photo that cannot be read is a line of its own. Needs httpx; the API key, where the
service asks for one, is taken from PLATECHECK_API_KEY.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx

CONCURRENCY = 4
ATTEMPTS = 6


async def predict(client: httpx.AsyncClient, photo: Path) -> dict[str, Any]:
    """Answer one photo: JPEG, PNG, HEIC or whatever else the service reads.

    Args:
        client: its base URL is the service's.
        photo: a file.

    Returns:
        The photo's entry: `name`, and `label` with `probability`, or `error` (problem details).

    Raises:
        httpx.HTTPStatusError: the service refuses, such as without a key, or stays too busy.
        httpx.TransportError: it cannot be reached.
    """
    content = await asyncio.to_thread(photo.read_bytes)
    for attempt in range(1, ATTEMPTS + 1):
        response = await client.post("/v1/predict", files={"photos": (photo.name, content)})
        if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or attempt == ATTEMPTS:
            break
        await asyncio.sleep(float(response.headers.get("Retry-After", 1)))
    if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:  # of this photo alone
        return {"name": photo.name, "error": response.json()}
    response.raise_for_status()
    entry: dict[str, Any] = response.json()["photos"][0]
    return entry


async def predict_many(
    client: httpx.AsyncClient, photos: Iterable[Path]
) -> AsyncIterator[dict[str, Any]]:
    """Answer photos, :data:`CONCURRENCY` at a time, as they are done.

    Yields:
        What :func:`predict` returns; a file that cannot be opened is an `error` too.
    """
    room = asyncio.Semaphore(CONCURRENCY)

    async def one(photo: Path) -> dict[str, Any]:
        async with room:
            try:
                return await predict(client, photo)
            except OSError as error:
                return {"name": photo.name, "error": {"detail": error.strerror}}

    tasks = [asyncio.create_task(one(photo)) for photo in photos]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # of several that failed, one is said


def reason(response: httpx.Response) -> str:
    """Why a service refuses: problem details, unless something else answers there."""
    try:
        return str(response.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return response.reason_phrase


async def main(url: str, photos: list[Path]) -> int:
    """Print a line for each photo; the number of those without an answer."""
    key = os.environ.get("PLATECHECK_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    failed = 0
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        async for entry in predict_many(client, photos):
            if error := entry.get("error"):
                failed += 1
                print(f"{entry['name']}: {error['detail']}")
            else:
                sure = entry["label"] in entry["probabilities"]  # a class, not "unsure"
                print(f"{entry['name']}: {entry['label']}", f"{entry['probability']:.1%}" * sure)
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    url, *paths = sys.argv[1:]
    try:
        failed = asyncio.run(main(url, [Path(path) for path in paths]))
    except httpx.HTTPStatusError as error:
        sys.exit(f"{url}: {error.response.status_code}: {reason(error.response)}")
    except (httpx.RequestError, httpx.InvalidURL) as error:
        sys.exit(f"{url}: {error}; is it the address of a service, such as http://127.0.0.1:8000?")
    sys.exit(1 if failed else 0)
