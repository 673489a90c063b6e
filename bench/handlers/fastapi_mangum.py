"""FastAPI behind Mangum: views as coroutines, and as plain functions, which FastAPI runs in threads."""

from fastapi import FastAPI, Response
from mangum import Mangum

from bench.handlers import people

_JSON = "application/json"
_coroutines, _functions = FastAPI(), FastAPI()


@_coroutines.get("/users/{uid}")
async def await_user(uid: str) -> Response:
    return Response(people.person(uid), media_type=_JSON)


@_coroutines.get("/users")
async def await_users(limit: int) -> Response:
    return Response(people.people(limit), media_type=_JSON)


@_functions.get("/users/{uid}")
def get_user(uid: str) -> Response:
    return Response(people.person(uid), media_type=_JSON)


@_functions.get("/users")
def list_users(limit: int) -> Response:
    return Response(people.people(limit), media_type=_JSON)


handler = Mangum(_coroutines, lifespan="off")
handler_of_functions = Mangum(_functions, lifespan="off")
