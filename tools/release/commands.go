package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"

	"github.com/clusterring/clusterring/tools/release/internal/image"
	"github.com/clusterring/clusterring/tools/release/internal/source"
)

// runCommand runs the program and returns its exit status.
func runCommand(ctx context.Context, args []string, out, errOut io.Writer) int {
	root := newCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(errOut, "release: %v\n", err)
		return 1
	}
	return 0
}

// options are the flags of all commands.
type options struct{ repo, image, version, out string }

func newCommand() *cobra.Command {
	var o options
	command := func(use, short string, run func(context.Context, io.Writer) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), cmd.OutOrStdout())
		}}
	}
	root := &cobra.Command{
		Use: "release", Short: "Make what users install", SilenceUsage: true, SilenceErrors: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVar(&o.repo, "repo", ".", "the root of the repository")
	flags.StringVar(&o.image, "image", "clusterring/sharder", "the `name` of the sharder's image, with its registry and without a tag")
	flags.StringVar(&o.version, "version", "", "the version, which is the image's tag (default: what git describes the commit as)")
	flags.StringVar(&o.out, "out", "dist", "the `directory` to write to")
	root.AddCommand(
		command("image", "Make the image of the sharder, as a file that container runtimes load", o.writeImage),
		command("push", "Make the image of the sharder and push it to its registry", o.push),
		command("all", "Make everything that a release consists of", o.writeAll),
	)
	return root
}

func (o *options) writeImage(ctx context.Context, out io.Writer) error {
	return o.build(ctx, func(p *product) error {
		if err := os.MkdirAll(o.out, 0o755); err != nil {
			return err
		}
		path := filepath.Join(o.out, p.archiveName())
		if err := p.writeArchive(path); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %s\n", path, p.pinned())
		return nil
	})
}

func (o *options) push(ctx context.Context, out io.Writer) error {
	if err := image.HasRegistry(o.image); err != nil {
		return err
	}
	return o.build(ctx, func(p *product) error {
		if err := image.Push(ctx, p.index, p.ref); err != nil {
			return err
		}
		fmt.Fprintln(out, p.pinned())
		return nil
	})
}

func (o *options) writeAll(ctx context.Context, out io.Writer) error {
	if semver.Canonical(o.version) != o.version || o.version == "" {
		return fmt.Errorf("--version=%s: a release needs a version such as v1.2.3 or v1.2.3-rc.1", o.version)
	}
	s, err := source.Read(ctx, o.repo, o.version)
	if err != nil {
		return err
	}
	if err := s.Releasable(ctx); err != nil {
		return err
	}
	switch present, err := os.ReadDir(o.out); {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	case len(present) > 0:
		return fmt.Errorf("--out: %s is not empty", o.out)
	}
	return o.build(ctx, func(p *product) error {
		if err := p.writeAll(o.out); err != nil {
			return err
		}
		fmt.Fprintf(out, "Release %s with the image %s\n", o.version, p.pinned())
		return nil
	})
}

// build makes the product of the repository, and calls use while its programs exist.
func (o *options) build(ctx context.Context, use func(*product) error) error {
	s, err := source.Read(ctx, o.repo, o.version)
	if err != nil {
		return err
	}
	ref, err := image.Ref(o.image, s.Version)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, err := newProduct(ctx, s, ref, dir, "amd64", "arm64")
	if err != nil {
		return err
	}
	return use(p)
}
