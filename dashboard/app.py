"""The dashboard's entry: Streamlit runs this file as a script, outside of any package, hence the absolute import."""

from tasktape.dashboard.shell import run

run()
