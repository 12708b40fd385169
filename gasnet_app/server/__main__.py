"""`python -m gasnet_app.server FOLDER ...`: the options of `panel serve`, and a few of ours."""

from gasnet_app.server.serve import main

if __name__ == "__main__":
    main()
